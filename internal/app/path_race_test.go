//go:build race

package app

func init() { countsAllocations = false }
