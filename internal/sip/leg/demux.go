package leg

// form is what a datagram is.
type form uint8

const (
	formRTP form = iota
	formRTCP
	formSTUN
	formDTLS
	formMalformed // none of these, or too short for what it says it is
)

// formOf tells the form by the first two bytes (RFC 7983; RFC 5761, 4). Phones send STUN to ports for which nobody agreed on ICE.
func formOf(b []byte) form {
	const rtpHeader, rtcpHeader = 12, 8
	switch {
	case len(b) < 2:
		return formMalformed
	case b[0] < 4:
		return formSTUN
	case b[0] >= 20 && b[0] < 64:
		return formDTLS
	case b[0] < 128 || b[0] >= 192: // not version 2
		return formMalformed
	case b[1] >= 192 && b[1] < 224:
		if len(b) < rtcpHeader {
			return formMalformed
		}
		return formRTCP
	case len(b) < rtpHeader:
		return formMalformed
	default:
		return formRTP
	}
}
