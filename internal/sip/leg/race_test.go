//go:build race

package leg

func init() { countsAllocations = false }
