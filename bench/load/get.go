package main

import "fmt"

// Request is one that is asked again and again.
type Request struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Headers string `json:"headers"` // whole lines
	Status  int    `json:"status"`
}

// getter asks for the same few things in turn; each client begins with another.
type getter struct {
	connection *connection
	requests   []Request
	heads      [][]byte
	client     int
}

func newGetter(job *Job, connection *connection, client int) *getter {
	g := &getter{connection: connection, requests: job.Requests, client: client}
	for _, request := range job.Requests {
		g.heads = append(g.heads, connection.head(request.Method, request.Path, request.Headers))
	}
	return g
}

func (g *getter) get(number int) (int64, error) {
	turn := (number + g.client) % len(g.requests)
	request := &g.requests[turn]
	answer, err := g.connection.exchange(g.heads[turn], nil, request.Method == "HEAD")
	if err == nil && answer.status != request.Status {
		err = fmt.Errorf("status %d", answer.status)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return max(answer.length, 0), nil
}
