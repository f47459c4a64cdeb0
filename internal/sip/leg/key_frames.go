package leg

import "time"

const (
	// answerTime is how long a phone has to answer a request for a key frame. After that the owner of the call tries another way.
	answerTime = time.Second
	// missingPause is the least time between two reports that key frames are missing.
	missingPause = 2 * time.Second
)

// keyFrames decides when to ask the phone for a key frame, and when asking by RTCP has failed. It has no clock: times are handed in.
//
// A need is a picture that cannot be decoded: the stream begins, or packets were lost. A wish comes from a reader that wants key frames at an
// interval, or for a connection that begins with one. Only a need that stays is reported as missing: some phones ignore every request, and
// nothing is gained by asking them in other ways for a key frame that is only wished for. A phone that has answered such a report is
// different: it ignores RTCP and answers the other way, so each request to it is reported at once.
type keyFrames struct {
	gap time.Duration // the least time between two requests

	asked    bool
	askedAt  time.Duration
	pending  bool
	fresh    bool // a key frame has come since the last call of due
	needed   bool // since needAt
	needAt   time.Duration
	told     bool
	toldAt   time.Duration
	answers  bool  // a report of missing key frames has brought one
	sequence uint8 // of FIR
}

// want notes a wish.
func (k *keyFrames) want() { k.pending = true }

// need notes a need. A key frame that has just come meets it.
func (k *keyFrames) need(now time.Duration) {
	if k.fresh {
		return
	}
	k.pending = true
	if !k.needed {
		k.needed, k.needAt = true, now
	}
}

// came notes a key frame.
func (k *keyFrames) came() { k.needed, k.pending, k.fresh = false, false, true }

// rest forgets a need while the phone sends no pictures.
func (k *keyFrames) rest() { k.needed, k.told = false, false }

// due says whether to ask now, and whether to report that the phone does not answer.
func (k *keyFrames) due(now time.Duration) (ask, missing bool) {
	if k.fresh {
		k.answers = k.answers || k.told && now-k.toldAt < answerTime
		k.fresh, k.told = false, false
	}
	if k.pending && (!k.asked || now-k.askedAt >= k.gap) {
		k.pending, k.asked, k.askedAt, ask = false, true, now, true
	}
	late := k.needed && now-k.needAt >= answerTime
	if (late || ask && k.answers) && (!k.told || now-k.toldAt >= missingPause) {
		k.told, k.toldAt, missing = true, now, true
	}
	return ask, missing
}
