package rtmp

// ackTally makes a number of bytes of what a peer's acknowledgements say. A number in an acknowledgement should be the sum of
// all bytes since the connection's begin, modulo 2^32 (RTMP 1.0, 5.4.3). Peers are known that say something else:
//   - rml_rtmp: the bytes since the acknowledgement before;
//   - OvenMediaEngine: a sum modulo 2^31-1;
//   - nginx-rtmp, SRS, Node-Media-Server: a sum that begins anew at 0xF0000000.
//
// So both meanings are followed, and a number that fits neither is passed over. The tally never says that more was received
// than was sent. The zero ackTally has seen none. It is for one goroutine.
type ackTally struct {
	base int64  // added to a sum: what earlier rounds of the peer's counter were worth
	last uint32 // the latest number that was taken for a sum
	sum  int64  // base + last

	steps    int64 // all numbers together
	notSteps bool  // they exceeded what was sent
	stood    bool  // a number was not greater than the one before, so it is perhaps no sum

	total int64
}

// ackSlack is how far a sum may exceed what was sent: the peer may count the handshake twice.
const ackSlack = 4 << 10

// rounds are where counters of known peers begin anew. Their last number before that is not far below: windows are small.
var rounds = [...]int64{1<<31 - 1, 1 << 31, 0xf0000000, 1 << 32}

// take notes the number of an acknowledgement that came after so many bytes were sent, and returns how many bytes the peer has
// received, as far as that is known.
func (a *ackTally) take(number uint32, sent int64) int64 {
	a.steps += int64(number)
	a.notSteps = a.notSteps || a.steps > sent+ackSlack
	if number > a.last {
		a.asSum(a.base, number, sent)
	} else if !a.nextRound(number, sent) {
		a.stood = true
	}
	known := a.sum
	if a.stood && !a.notSteps {
		known = a.steps
	}
	a.total = max(a.total, min(known, sent))
	return a.total
}

// nextRound takes a number that went back for the sum of a counter that began anew, where there is such a counter. SRS begins with the
// bytes since the number before.
func (a *ackTally) nextRound(number uint32, sent int64) bool {
	for _, round := range rounds {
		left := round - int64(a.last)
		if left < 0 || left > round/8 {
			continue
		}
		if a.asSum(a.base+round, number, sent) || a.asSum(a.sum, number, sent) {
			return true
		}
	}
	return false
}

// asSum takes a number for a sum if so much was sent.
func (a *ackTally) asSum(base int64, number uint32, sent int64) bool {
	sum := base + int64(number)
	if sum > sent+ackSlack {
		return false
	}
	a.base, a.last, a.sum = base, number, sum
	return true
}
