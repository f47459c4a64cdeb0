package sdp

// Direction says which way media flows in a section, as its owner sees it.
type Direction uint8

// The directions. Each is a set of two bits: whether the owner sends, and whether the owner receives.
const (
	Inactive Direction = iota
	SendOnly
	RecvOnly
	SendRecv
)

var directionNames = [...]string{Inactive: "inactive", SendOnly: "sendonly", RecvOnly: "recvonly", SendRecv: "sendrecv"}

// String returns the name of the SDP attribute, such as "sendonly".
func (d Direction) String() string { return directionNames[d&SendRecv] }

// Sends says whether the owner sends.
func (d Direction) Sends() bool { return d&SendOnly != 0 }

// Receives says whether the owner receives.
func (d Direction) Receives() bool { return d&RecvOnly != 0 }

// Reverse returns the direction as the other side sees it.
func (d Direction) Reverse() Direction { return d&SendOnly<<1 | d&RecvOnly>>1 }

// parseDirection reads the name of an attribute. ok is false for other attributes.
func parseDirection(name string) (d Direction, ok bool) {
	for i, n := range directionNames {
		if n == name {
			return Direction(i), true
		}
	}
	return Inactive, false
}
