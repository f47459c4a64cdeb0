//go:build !unix

package people

import "os"

// giveTo does nothing: files have no owner who matters here.
func giveTo(string, *os.File) error { return nil }
