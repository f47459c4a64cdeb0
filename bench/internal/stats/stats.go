// Package stats summarises samples.
package stats

import (
	"math"
	"slices"
)

// Dist is a summary of samples in milliseconds.
type Dist struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

// Summarise describes samples, which it leaves as they are.
func Summarise(ms []float64) Dist {
	if len(ms) == 0 {
		return Dist{}
	}
	sorted := slices.Sorted(slices.Values(ms))
	sum := 0.0
	for _, v := range sorted {
		sum += v
	}
	at := func(q float64) float64 { return round(sorted[int(math.Round(q*float64(len(sorted)-1)))]) }
	return Dist{
		N: len(sorted), Mean: round(sum / float64(len(sorted))),
		P50: at(0.50), P95: at(0.95), P99: at(0.99), Min: at(0), Max: at(1),
	}
}

// round keeps microseconds.
func round(ms float64) float64 { return math.Round(ms*1000) / 1000 }
