package cluster

import "errors"

// ErrGone means that a process has ended, or is cut off: nobody answers for it.
var ErrGone = errors.New("the process has ended, or is cut off")

// Node is what a process tells the others about itself.
type Node struct {
	Version int `json:"v"` // of this form, 1
	Owner
	Server  string `json:"version"`        // version of the program
	API     int    `json:"api"`            // of the requests between nodes
	Started int64  `json:"started"`        // milliseconds since 1970
	RTMP    string `json:"rtmp,omitempty"` // host:port on which others read streams
	HTTP    string `json:"http,omitempty"` // URL where clients may be sent
	State   string `json:"state"`          // ready, full, draining

	Cores   float64 `json:"cores"`   // in use
	Allowed float64 `json:"allowed"` // limit; 0: none
	Unit    float64 `json:"unit"`    // cores that one stream costs
	Streams int     `json:"streams"`
	Pushes  int     `json:"pushes"`
	Players int     `json:"players"`
}
