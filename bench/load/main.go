// Command load asks a registry for one kind of work, as often as it can, and says how that went.
//
// The job is JSON on stdin, the summary JSON on stdout. Requests are written by hand onto plain sockets, one connection
// for each client, so that the generator needs far less processor time than any server it measures.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// Job says what to ask for. Sizes are bytes.
type Job struct {
	Address       string    `json:"address"`
	Authorization string    `json:"authorization"`
	Operation     string    `json:"operation"` // get, upload, push-image, pull-image
	Clients       int       `json:"clients"`
	Seconds       float64   `json:"seconds"`    // no client begins anything after that
	Operations    int       `json:"operations"` // nor more than that; 0: no limit
	Requests      []Request `json:"requests"`   // get: asked for in turn
	Repository    string    `json:"repository"`
	Way           string    `json:"way"`  // upload: monolithic, streamed, chunked, docker
	Kind          string    `json:"kind"` // push-image: new, present, one-new
	Size          int64     `json:"size"` // of a blob or of a layer
	Layers        int       `json:"layers"`
	Salt          uint32    `json:"salt"`  // another salt makes other content
	First         int       `json:"first"` // push-image: the number of the first new image, above 0
}

// operation is done once, by one client; it returns how many bytes of content went over the wire.
type operation func(number int) (int64, error)

func main() {
	debug.SetGCPercent(400)
	var job Job
	err := json.NewDecoder(os.Stdin).Decode(&job)
	if err == nil {
		err = run(&job)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(job *Job) error {
	workers, err := hire(job)
	if err != nil {
		return err
	}
	started := time.Now()
	deadline := started.Add(time.Duration(job.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for _, worker := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			worker.work(deadline, job.Operations)
		}()
	}
	all.Wait()
	return summarise(workers, time.Since(started))
}

// hire connects every client before the clock starts.
func hire(job *Job) ([]*worker, error) {
	content := newContent(job.Size, job.Salt)
	workers := make([]*worker, job.Clients)
	for client := range workers {
		connection, err := dial(job.Address, job.Authorization)
		if err != nil {
			return nil, err
		}
		workers[client] = &worker{connection: connection, latencies: make([]time.Duration, 0, 1<<16)}
		if workers[client].operation, err = choose(job, connection, content, client); err != nil {
			return nil, err
		}
	}
	return workers, nil
}

func choose(job *Job, connection *connection, content *content, client int) (operation, error) {
	switch job.Operation {
	case "get":
		return newGetter(job, connection, client).get, nil
	case "upload":
		return (&uploader{connection, content, job.Repository, job.Way, client}).upload, nil
	case "push-image":
		return newImage(job, connection, content, client).push, nil
	case "pull-image":
		return newImage(job, connection, content, client).pull, nil
	}
	return nil, fmt.Errorf("no such operation: %q", job.Operation)
}

// worker is one client: it does one thing after the other.
type worker struct {
	connection *connection
	operation  operation
	latencies  []time.Duration
	bytes      int64
	err        error
}

func (w *worker) work(deadline time.Time, operations int) {
	now := time.Now()
	for number := 0; (number == 0 || now.Before(deadline)) && (operations == 0 || number < operations); number++ {
		bytes, err := w.operation(number)
		if err != nil {
			w.err = err
			return
		}
		then := now
		now = time.Now()
		w.bytes += bytes
		w.latencies = append(w.latencies, now.Sub(then))
	}
}
