//go:build race

package lean

func init() { countsAllocations = false }
