package rtmp

// ackTally computes the number of bytes that the other side has received from its acknowledgements. The number in an acknowledgement should be
// the sum of all bytes since the beginning of the connection, modulo 2^32 (RTMP 1.0, 5.4.3). Some programs send other numbers:
//   - rml_rtmp: the bytes since the previous acknowledgement;
//   - OvenMediaEngine: a sum modulo 2^31-1;
//   - nginx-rtmp, SRS, Node-Media-Server: a sum that starts again at 0xF0000000.
//
// So the tally follows both meanings and ignores a number that fits neither. It never exceeds the bytes that were sent. The zero ackTally is
// ready to use, by one goroutine.
type ackTally struct {
	base int64  // added to a sum: the bytes before the counter started again
	last uint32 // the latest number that counted as a sum
	sum  int64  // base + last

	steps    int64 // the sum of all numbers
	notSteps bool  // steps exceeded the bytes that were sent
	stood    bool  // a number was not greater than the previous one, so it may not be a sum

	total int64
}

// ackSlack is how far a sum may exceed the bytes that were sent: some programs count the handshake twice.
const ackSlack = 4 << 10

// rounds are the values at which the counters of known programs start again. The last number before is not far below, since windows are
// small.
var rounds = [...]int64{1<<31 - 1, 1 << 31, 0xf0000000, 1 << 32}

// take notes the number of an acknowledgement that came after sent bytes were sent. It returns how many bytes the other side has received, as
// far as that is known.
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

// nextRound handles a number that is smaller than the previous one as the sum of a counter that started again, if such a counter is known. SRS
// starts again with the bytes since the previous number.
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

// asSum handles a number as a sum if so many bytes were sent.
func (a *ackTally) asSum(base int64, number uint32, sent int64) bool {
	sum := base + int64(number)
	if sum > sent+ackSlack {
		return false
	}
	a.base, a.last, a.sum = base, number, sum
	return true
}
