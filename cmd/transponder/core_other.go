//go:build !linux

package main

// forbidCores does nothing: only Linux is known.
func forbidCores() error { return nil }
