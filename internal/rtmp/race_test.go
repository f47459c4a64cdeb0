//go:build race

package rtmp

// The race detector makes sync.Pool forget at random, so that allocations cannot be counted.
func init() { countsAllocations = false }
