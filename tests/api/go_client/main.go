// A client as Go programs are: sends a large body and finds out how it is told that nobody wants it.
//
// usage: client METHOD URL SIZE length|chunked [HEADER=VALUE...]
//
// It sends SIZE zeros, then asks for the registry's /v2/ with the same client, and prints one JSON object:
// status, body and error of the answer, the bytes that were read of the body, whether the server said that the
// connection ends, and how the second request fared and whether it found the connection open.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type zeros struct {
	left int64
	sent atomic.Int64
}

func (z *zeros) Read(buffer []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	if int64(len(buffer)) > z.left {
		buffer = buffer[:z.left]
	}
	clear(buffer)
	z.left -= int64(len(buffer))
	z.sent.Add(int64(len(buffer)))
	return len(buffer), nil
}

type report struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
	Error  string `json:"error"`
	Sent   int64  `json:"sent"`
	Close  bool   `json:"close"`
	Again  int    `json:"again"`
	Reused bool   `json:"reused"`
}

func main() {
	method, target := os.Args[1], os.Args[2]
	size, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		panic(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}
	content := &zeros{left: size}
	request, err := http.NewRequest(method, target, content)
	if err != nil {
		panic(err)
	}
	request.ContentLength = size
	if os.Args[4] == "chunked" {
		request.ContentLength = -1
	}
	for _, header := range os.Args[5:] {
		name, value, _ := strings.Cut(header, "=")
		request.Header.Set(name, value)
	}
	var result report
	answer, err := client.Do(request)
	if err != nil {
		result.Error = err.Error()
	} else {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			result.Error = err.Error()
		}
		answer.Body.Close()
		result.Status, result.Body, result.Close = answer.StatusCode, string(body), answer.Close
	}
	again(client, target, &result)
	result.Sent = content.sent.Load()
	printed, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(printed))
}

func again(client *http.Client, target string, result *report) {
	place, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	place.Path, place.RawQuery = "/v2/", ""
	request, err := http.NewRequest("GET", place.String(), nil)
	if err != nil {
		panic(err)
	}
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { result.Reused = info.Reused }}
	answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		result.Error += " again: " + err.Error()
		return
	}
	answer.Body.Close()
	result.Again = answer.StatusCode
}
