package sdp

import "testing"

func TestDirection(t *testing.T) {
	tests := []struct {
		d               Direction
		name            string
		sends, receives bool
		reverse         Direction
	}{
		{Inactive, "inactive", false, false, Inactive},
		{SendOnly, "sendonly", true, false, RecvOnly},
		{RecvOnly, "recvonly", false, true, SendOnly},
		{SendRecv, "sendrecv", true, true, SendRecv},
	}
	for _, test := range tests {
		d := test.d
		if d.String() != test.name || d.Sends() != test.sends || d.Receives() != test.receives || d.Reverse() != test.reverse {
			t.Errorf("%s: sends %t, receives %t, reverse %s", d, d.Sends(), d.Receives(), d.Reverse())
		}
	}
}
