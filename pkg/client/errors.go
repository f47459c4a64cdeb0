package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is an answer of the server that is no success.
type Error struct {
	Status    int    `json:"status"`
	Message   string `json:"message"` // what to correct
	Name      string `json:"error"`   // of the status, such as Not Found
	Exception string `json:"exception"`
	Reason    string `json:"reason"`
	Path      string `json:"path"`
	Timestamp Moment `json:"timestamp"`

	// RetryAfter is how long to wait before the same request; 0: the server does not say.
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string { return e.Message }

// Status returns the HTTP status of an error of the server, 0 for all other errors.
func Status(err error) int {
	var answered *Error
	if errors.As(err, &answered) {
		return answered.Status
	}
	return 0
}

// UnreachableError means that there was no answer.
type UnreachableError struct {
	Address string
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no server at %s: %v", e.Address, e.Err)
}

// Unwrap returns why there was no answer.
func (e *UnreachableError) Unwrap() error { return e.Err }

// newError returns the error that an answer holds.
func newError(got *http.Response) error {
	e := &Error{}
	text, err := readAnswer(got)
	if err != nil || json.Unmarshal(text, e) != nil || e.Message == "" {
		e = &Error{Message: "the server has answered " + got.Status}
	}
	e.Status = got.StatusCode
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
