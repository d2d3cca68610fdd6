package main

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
)

const (
	pieceBytes   = 1 << 20
	frameBytes   = 32 << 10 // what Go's HTTP client sends as one chunk
	trailerBytes = 16
)

// content makes blobs of one size that all begin with the same bytes and differ in the last 16: a server has to hash
// each one whole, while their digests are known here without hashing everything again.
type content struct {
	size   int64
	salt   uint32
	piece  []byte
	framed []byte // the piece as 32 chunks of a chunked body
	prefix []byte // the state of sha256 in front of the trailer
}

func newContent(size int64, salt uint32) *content {
	c := &content{size: max(size, trailerBytes), salt: salt, piece: make([]byte, pieceBytes)}
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(c.piece)
	for start := 0; start < pieceBytes; start += frameBytes {
		c.framed = append(c.framed, frame(c.piece[start:start+frameBytes])...)
	}
	hash := sha256.New()
	for _, part := range c.parts(0, c.size-trailerBytes, nil) {
		hash.Write(part)
	}
	c.prefix, _ = hash.(encoding.BinaryMarshaler).MarshalBinary()
	return c
}

// trailer tells the blobs of one job apart.
func (c *content) trailer(client, number int) []byte {
	return fmt.Appendf(nil, "%08x%02x%06x", c.salt, client&0xff, number&0xffffff)
}

func (c *content) digest(trailer []byte) string {
	hash := sha256.New()
	_ = hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.prefix)
	hash.Write(trailer)
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// parts are the bytes from start to end (within a blob that ends with the trailer), without a copy.
func (c *content) parts(start, end int64, trailer []byte) net.Buffers {
	var parts net.Buffers
	prefix := c.size - trailerBytes
	for start < min(end, prefix) {
		within := start % pieceBytes
		length := min(pieceBytes-within, min(end, prefix)-start)
		parts = append(parts, c.piece[within:within+length])
		start += length
	}
	if start < end {
		parts = append(parts, trailer[start-prefix:end-prefix])
	}
	return parts
}

// chunkedBody is the whole blob as a body with Transfer-Encoding: chunked.
func (c *content) chunkedBody(trailer []byte) net.Buffers {
	var body net.Buffers
	prefix := c.size - trailerBytes
	for ; prefix >= pieceBytes; prefix -= pieceBytes {
		body = append(body, c.framed)
	}
	for start := int64(0); start < prefix; start += frameBytes {
		body = append(body, frame(c.piece[start:min(start+frameBytes, prefix)]))
	}
	return append(body, frame(trailer), []byte("0\r\n\r\n"))
}

func frame(data []byte) []byte {
	framed := fmt.Appendf(nil, "%x\r\n", len(data))
	return append(append(framed, data...), '\r', '\n')
}
