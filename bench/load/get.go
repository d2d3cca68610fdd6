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
	elsewhere  map[string]*connection // where bytes were, by host
}

func newGetter(job *Job, own *connection, client int) *getter {
	g := &getter{connection: own, requests: job.Requests, client: client, elsewhere: map[string]*connection{}}
	for _, request := range job.Requests {
		g.heads = append(g.heads, own.head(request.Method, request.Path, request.Headers))
	}
	return g
}

func (g *getter) get(number int) (int64, error) {
	turn := (number + g.client) % len(g.requests)
	request := &g.requests[turn]
	answer, err := g.connection.exchange(g.heads[turn], nil, request.Method == "HEAD")
	if err == nil && answer.status == 307 {
		answer, err = g.follow(request, answer)
	}
	if err == nil && answer.status != request.Status {
		err = fmt.Errorf("status %d", answer.status)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return max(answer.length, 0), nil
}

// follow fetches what the registry does not send itself, on a connection that is kept too, and without its password.
func (g *getter) follow(request *Request, answer response) (response, error) {
	there := g.elsewhere[answer.host]
	if there == nil {
		var err error
		if there, err = dial(answer.host, ""); err != nil {
			return answer, err
		}
		g.elsewhere[answer.host] = there
	}
	g.connection.sent++
	head := there.head(request.Method, answer.location, request.Headers)
	return there.exchange(head, nil, request.Method == "HEAD")
}
