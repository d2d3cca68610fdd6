package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// image is pushed to, or pulled from, a repository that each client has for itself. Image 0 is the one that is there.
type image struct {
	uploader
	kind   string
	layers int
	first  int
}

func newImage(job *Job, connection *connection, content *content, client int) *image {
	repository := fmt.Sprintf("%s-%d", job.Repository, client)
	return &image{uploader{connection, content, repository, "docker", client}, job.Kind, job.Layers, job.First}
}

// trailers of the image's blobs, the configuration first.
func (i *image) trailers(number int) [][]byte {
	var trailers [][]byte
	for blob := 0; blob <= i.layers; blob++ {
		of := number
		if i.kind == "one-new" && blob != 0 && blob != i.layers {
			of = 0 // only the last layer and the configuration are another build's
		}
		trailers = append(trailers, i.content.trailer(i.client, of*64+blob))
	}
	return trailers
}

func (i *image) push(number int) (int64, error) {
	tag := "latest"
	switch i.kind {
	case "present":
		number = 0
	default:
		number += i.first
		tag = fmt.Sprintf("build-%d", number)
	}
	var sent int64
	trailers := i.trailers(number)
	for _, trailer := range trailers {
		bytes, err := i.send(trailer)
		if err != nil {
			return 0, err
		}
		sent += bytes
	}
	return sent, i.pushManifest(tag, i.manifest(trailers))
}

func (i *image) pushManifest(tag, manifest string) error {
	headers := fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", manifestType, len(manifest))
	body := net.Buffers{[]byte(manifest)}
	_, err := i.connection.ask("PUT", "/v2/"+i.repository+"/manifests/"+tag, headers, body, 201)
	hash := sha256.Sum256([]byte(manifest))
	i.connection.last = "sha256:" + hex.EncodeToString(hash[:])
	return err
}

func (i *image) manifest(trailers [][]byte) string {
	var layers []string
	for _, trailer := range trailers[1:] {
		layers = append(layers, i.descriptor("layer.v1.tar+gzip", trailer))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}`,
		manifestType, i.descriptor("config.v1+json", trailers[0]), strings.Join(layers, ","))
}

func (i *image) descriptor(kind string, trailer []byte) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","size":%d,"digest":"%s"}`,
		kind, i.content.size, i.content.digest(trailer))
}

func (i *image) pull(int) (int64, error) {
	path := "/v2/" + i.repository
	accept := "Accept: " + manifestType + "\r\n"
	answer, err := i.connection.ask("GET", path+"/manifests/latest", accept, nil, 200)
	received := answer.length
	for _, trailer := range i.trailers(0) {
		if err != nil {
			return 0, err
		}
		answer, err = i.connection.ask("GET", path+"/blobs/"+i.content.digest(trailer), "", nil, 200)
		received += answer.length
	}
	return received, err
}
