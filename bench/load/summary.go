package main

import (
	"encoding/json"
	"os"
	"slices"
	"syscall"
	"time"
)

// Summary is what is printed. Latencies are milliseconds.
type Summary struct {
	Operations    int                `json:"operations"`
	Bytes         int64              `json:"bytes"`
	Seconds       float64            `json:"seconds"`
	ClientSeconds float64            `json:"client_cpu_seconds"`
	Latency       map[string]float64 `json:"latency_ms"`
	Last          string             `json:"last"`      // the digest that the first client pushed last
	Redirects     int                `json:"redirects"` // how often a client was sent elsewhere for the bytes
}

func summarise(workers []*worker, taken time.Duration) error {
	var latencies []time.Duration
	summary := Summary{Seconds: taken.Seconds(), Last: workers[0].connection.last}
	for _, worker := range workers {
		if worker.err != nil {
			return worker.err
		}
		latencies = append(latencies, worker.latencies...)
		summary.Bytes += worker.bytes
		summary.Redirects += worker.connection.sent
	}
	slices.Sort(latencies)
	summary.Operations = len(latencies)
	summary.Latency = percentiles(latencies)
	summary.ClientSeconds = processorSeconds()
	return json.NewEncoder(os.Stdout).Encode(summary)
}

func percentiles(sorted []time.Duration) map[string]float64 {
	last := len(sorted) - 1
	at := func(share float64) float64 {
		return float64(sorted[int(share*float64(last)+0.5)].Nanoseconds()) / 1e6
	}
	return map[string]float64{"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)}
}

func processorSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
