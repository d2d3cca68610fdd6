package main

import (
	"fmt"
	"strings"
)

const (
	chunkBytesMax = 16 << 20
	chunksMin     = 4
	noBody        = "Content-Length: 0\r\n"
)

// uploader pushes blobs that the registry does not have yet.
type uploader struct {
	connection *connection
	content    *content
	repository string
	way        string
	client     int
}

func (u *uploader) upload(number int) (int64, error) {
	return u.send(u.content.trailer(u.client, number))
}

// send pushes the blob with this trailer, in the uploader's way.
func (u *uploader) send(trailer []byte) (int64, error) {
	digest := u.content.digest(trailer)
	if u.way == "docker" {
		if there, err := u.exists(digest); err != nil || there {
			return 0, err
		}
	}
	location, err := u.begin()
	if err == nil {
		err = u.finish(location, trailer, digest)
	}
	u.connection.last = digest
	return u.content.size, err
}

func (u *uploader) exists(digest string) (bool, error) {
	answer, err := u.connection.ask("HEAD", "/v2/"+u.repository+"/blobs/"+digest, "", nil, 200, 404)
	return answer.status == 200, err
}

func (u *uploader) begin() (string, error) {
	answer, err := u.connection.ask("POST", "/v2/"+u.repository+"/blobs/uploads/", noBody, nil, 202)
	return answer.location, err
}

func (u *uploader) finish(location string, trailer []byte, digest string) (err error) {
	switch u.way {
	case "monolithic":
		headers := fmt.Sprintf("Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", u.content.size)
		body := u.content.parts(0, u.content.size, trailer)
		_, err = u.connection.ask("PUT", named(location, digest), headers, body, 201)
		return err
	case "chunked":
		location, err = u.chunks(location, trailer)
	default:
		location, err = u.stream(location, trailer)
	}
	if err == nil {
		_, err = u.connection.ask("PUT", named(location, digest), noBody, nil, 201)
	}
	return err
}

// stream sends everything in one PATCH whose length is not told before, as docker does.
func (u *uploader) stream(location string, trailer []byte) (string, error) {
	headers := "Transfer-Encoding: chunked\r\n"
	answer, err := u.connection.ask("PATCH", location, headers, u.content.chunkedBody(trailer), 202)
	return answer.location, err
}

// chunks sends at least four PATCHes that say where they belong.
func (u *uploader) chunks(location string, trailer []byte) (string, error) {
	step := min(chunkBytesMax, (u.content.size+chunksMin-1)/chunksMin)
	for start := int64(0); start < u.content.size; start += step {
		end := min(start+step, u.content.size)
		headers := fmt.Sprintf(
			"Content-Type: application/octet-stream\r\nContent-Range: %d-%d\r\nContent-Length: %d\r\n",
			start, end-1, end-start)
		answer, err := u.connection.ask("PATCH", location, headers, u.content.parts(start, end, trailer), 202)
		if err != nil {
			return "", err
		}
		location = answer.location
	}
	return location, nil
}

func named(location, digest string) string {
	if strings.Contains(location, "?") {
		return location + "&digest=" + digest
	}
	return location + "?digest=" + digest
}
