package access

import "fmt"

// Role is what a user, or the holder of a certificate, may do, in one word.
type Role string

// The roles.
const (
	Viewer        Role = "viewer"   // reads lists and events
	Operator      Role = "operator" // also ends and changes what others have begun, publishes, plays, and pushes to named destinations
	Administrator Role = "admin"    // everything
)

// Validate reports a role that there is not.
func (r Role) Validate() error {
	switch r {
	case Viewer, Operator, Administrator:
		return nil
	}
	return fmt.Errorf("unknown role %q: there are viewer, operator and admin", short(string(r)))
}

// Grants returns what a role allows with the streams that the patterns name; without patterns: with all streams.
func (r Role) Grants(streams []string) []Grant {
	if len(streams) == 0 {
		streams = []string{"*"}
	}
	switch r {
	case Viewer:
		return []Grant{{Actions: []Action{Read}, Streams: streams}}
	case Operator:
		return []Grant{{Actions: []Action{Read, Control, Play, Publish, Push}, Streams: streams, Destinations: []string{"*"}}}
	case Administrator:
		return []Grant{{Actions: []Action{Admin}, Streams: streams}}
	}
	return nil
}
