package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	bufferBytes  = 16 << 10
	scratchBytes = 1 << 20
)

// connection speaks HTTP/1.1 over one socket, which is kept.
type connection struct {
	address string
	common  string // header lines that go with every request
	socket  net.Conn
	reader  *bufio.Reader
	scratch []byte
	last    string // the digest pushed last
	sent    int    // how often it was sent elsewhere for the bytes
}

// response is what of an answer is looked at.
type response struct {
	status   int
	length   int64 // -1: chunked
	location string
	host     string // that of the location, where it names one
	closing  bool
}

func dial(address, authorization string) (*connection, error) {
	c := &connection{address: address, common: "Host: " + address + "\r\n", scratch: make([]byte, scratchBytes)}
	if authorization != "" {
		c.common += "Authorization: " + authorization + "\r\n"
	}
	return c, c.connect()
}

func (c *connection) connect() (err error) {
	if c.socket, err = net.Dial("tcp", c.address); err == nil {
		c.reader = bufio.NewReaderSize(c.socket, bufferBytes)
	}
	return err
}

// head is a request up to its body; headers are whole lines.
func (c *connection) head(method, path, headers string) []byte {
	return []byte(method + " " + path + " HTTP/1.1\r\n" + c.common + headers + "\r\n")
}

// ask sends a request, reads the answer to its end, and insists on one of the statuses.
func (c *connection) ask(method, path, headers string, body net.Buffers, statuses ...int) (response, error) {
	answer, err := c.exchange(c.head(method, path, headers), body, method == "HEAD")
	if err != nil {
		return answer, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for _, status := range statuses {
		if answer.status == status {
			return answer, nil
		}
	}
	return answer, fmt.Errorf("%s %s: status %d", method, path, answer.status)
}

func (c *connection) exchange(head []byte, body net.Buffers, bodiless bool) (response, error) {
	if err := c.send(head, body); err != nil {
		return response{}, err
	}
	answer, err := c.readHead()
	if err != nil {
		return answer, err
	}
	if !bodiless && answer.status != 204 {
		err = c.skipBody(answer.length)
	}
	if err == nil && answer.closing {
		_ = c.socket.Close()
		err = c.connect()
	}
	return answer, err
}

func (c *connection) send(head []byte, body net.Buffers) error {
	if body == nil {
		_, err := c.socket.Write(head)
		return err
	}
	all := append(net.Buffers{head}, body...)
	_, err := all.WriteTo(c.socket)
	return err
}

func (c *connection) readHead() (response, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return response{}, err
	}
	if len(line) < 12 {
		return response{}, fmt.Errorf("not an answer: %q", line)
	}
	var answer response
	answer.status, err = strconv.Atoi(string(line[9:12]))
	for err == nil {
		if line, err = c.reader.ReadSlice('\n'); len(line) <= 2 {
			break
		}
		answer.note(line)
	}
	return answer, err
}

// note takes from a header line what matters; a switch on its first letter keeps the usual line cheap.
func (r *response) note(line []byte) {
	switch line[0] | 0x20 {
	case 'c':
		if value, ok := header(line, "content-length:"); ok {
			r.length, _ = strconv.ParseInt(value, 10, 64)
		} else if value, ok := header(line, "connection:"); ok {
			r.closing = strings.EqualFold(value, "close")
		}
	case 't':
		if _, ok := header(line, "transfer-encoding:"); ok {
			r.length = -1
		}
	case 'l':
		if value, ok := header(line, "location:"); ok {
			r.location, r.host = apart(value)
		}
	}
}

func header(line []byte, name string) (string, bool) {
	if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return "", false
	}
	return string(bytes.TrimSpace(line[len(name):])), true
}

// apart takes away scheme and host, which some registries put in front.
func apart(location string) (path, host string) {
	if parsed, err := url.Parse(location); err == nil {
		return parsed.RequestURI(), parsed.Host
	}
	return location, ""
}

func (c *connection) skipBody(length int64) error {
	if length >= 0 {
		return c.skip(length)
	}
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		if err := c.skip(size + 2); err != nil || size == 0 {
			return err
		}
	}
}

// skip reads what is buffered from the buffer, and much from the socket with few calls.
func (c *connection) skip(length int64) error {
	buffered := min(length, int64(c.reader.Buffered()))
	if _, err := c.reader.Discard(int(buffered)); err != nil {
		return err
	}
	for length -= buffered; length > 0; {
		read, err := c.socket.Read(c.scratch[:min(length, scratchBytes)])
		if length -= int64(read); err == io.EOF && length > 0 {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
	return nil
}
