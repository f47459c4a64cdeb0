// Package panics confines a panic to the session in which it happened, so that all other sessions go on. A panic is a bug of
// this server: it is logged with its stack, and counted for /metrics.
package panics

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

// Err is wrapped by the error that a panic is turned into.
var Err = errors.New("panic")

// Counter counts the panics of one part of the server. The zero value is ready for use, by any goroutine; nil
// counts nothing.
type Counter struct{ n atomic.Int64 }

// Load returns how many panics there were.
func (c *Counter) Load() int64 { return c.n.Load() }

// Run calls f and returns its error. If f panics, Run reports the panic as Note does and returns that error.
func (c *Counter) Run(log *slog.Logger, message string, f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = c.Note(log, message, value)
		}
	}()
	return f()
}

// Note logs and counts a value that the caller has recovered, and returns it as an error that wraps Err. It is for deferred
// functions that have more to do. They call it themselves: the logged stack is that of the caller.
func (c *Counter) Note(log *slog.Logger, message string, value any) error {
	if c != nil {
		c.n.Add(1)
	}
	log.Error(message, "panic", value, "stack", string(debug.Stack()))
	return fmt.Errorf("%w: %v", Err, value)
}
