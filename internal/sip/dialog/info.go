package dialog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// keyFrameGap is the least time between two requests for a key frame by INFO.
	keyFrameGap = 2 * time.Second
	// keyFrameRefusals switch the requests off for the rest of the call.
	keyFrameRefusals = 2

	digitLength = 160 * time.Millisecond
	commaPause  = time.Second
	digitKeys   = "0123456789*#ABCD"
)

// keyFrames says whether the peer may be asked for a key frame.
type keyFrames struct {
	asking   bool
	last     time.Time
	refusals int
}

const fastUpdate = `<?xml version="1.0" encoding="utf-8"?>` +
	`<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>`

// AskKeyFrame asks the peer for a key frame by INFO (RFC 5168). It reports whether it did: not too often, and not if the peer refuses.
func (c *Call) AskKeyFrame(now time.Time) bool {
	k := &c.keys
	soon := !k.last.IsZero() && now.Sub(k.last) < keyFrameGap
	unknown := len(c.peerAllow) > 0 && !c.peerKnows("INFO")
	if c.phase != established || k.asking || soon || unknown || k.refusals >= keyFrameRefusals {
		return false
	}
	k.asking, k.last = true, now
	c.inform(now, "application/media_control+xml", fastUpdate, func(_ time.Time, r *Response) {
		k.asking = false
		if r.Code/100 != 2 {
			k.refusals++
		}
	})
	return true
}

func (c *Call) inform(now time.Time, contentType, body string, done func(time.Time, *Response)) {
	r := c.newRequest(c.dialog, "INFO")
	setBody(&r.Header, &r.Body, contentType, []byte(body))
	c.transact(now, c.dialog, r, done)
}

// digits are the keys that are still to be sent by INFO, one after the other.
type digits struct {
	queue   string
	sending bool
	plain   bool // the peer knows application/dtmf only
}

// SendDigits sends keys by INFO: 0-9, *, #, A-D, and a comma for a pause of a second. The caller has checked them.
func (c *Call) SendDigits(now time.Time, keys string) {
	c.digits.queue += keys
	c.nextDigit(now)
}

func (c *Call) nextDigit(now time.Time) {
	d := &c.digits
	if d.sending || d.queue == "" || !c.deadlines[digitTimer].IsZero() || c.phase != established {
		return
	}
	key := d.queue[:1]
	if key == "," {
		d.queue = d.queue[1:]
		c.deadlines[digitTimer] = now.Add(commaPause)
		return
	}
	contentType, body := "application/dtmf-relay", fmt.Sprintf("Signal=%s\r\nDuration=%d\r\n", key, digitLength.Milliseconds())
	if d.plain {
		contentType, body = "application/dtmf", key
	}
	d.sending = true
	c.inform(now, contentType, body, func(now time.Time, r *Response) {
		d.sending = false
		if r.Code == 415 && !d.plain {
			d.plain = true
		} else {
			d.queue = d.queue[1:]
		}
		c.nextDigit(now)
	})
}

// parseDigit reads a body of application/dtmf-relay (Signal=5, Duration=160) or application/dtmf (5).
func parseDigit(body string) (Digit, bool) {
	var d Digit
	signal := ""
	for line := range strings.Lines(body) {
		name, value, found := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !found && signal == "":
			signal = name
		case strings.EqualFold(name, "Signal"):
			signal = value
		case strings.EqualFold(name, "Duration"):
			if ms, err := strconv.Atoi(value); err == nil && ms > 0 && ms <= 60000 {
				d.Duration = time.Duration(ms) * time.Millisecond
			}
		}
	}
	signal = strings.ToUpper(signal)
	if len(signal) != 1 || !strings.Contains(digitKeys, signal) {
		return Digit{}, false
	}
	d.Key = signal[0]
	return d, true
}
