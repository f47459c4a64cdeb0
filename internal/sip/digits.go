package sip

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"transponder/internal/sip/leg"
)

const (
	// mostKeys limits the keys of one request. Their tones last some ten seconds.
	mostKeys = 64
	keys     = "0123456789*#ABCD,"
)

// SendDigits sends keys to the phone: 0-9, *, #, A-D, and a comma for a pause of a second. It does not wait until they are sent. It fails
// with ErrNoCall, *RequestError for other keys, and ErrState before the phone has answered, while too many keys wait, or for keys that the
// phone does not take.
func (c *Calls) SendDigits(id, keys string, how Digits) error {
	k, err := c.find(id)
	if err != nil {
		return err
	}
	return k.sendDigits(keys, how)
}

func (k *call) sendDigits(text string, how Digits) error {
	text = strings.ToUpper(text)
	how = cmp.Or(how, k.calls.cfg.Digits)
	switch {
	case text == "" || len(text) > mostKeys:
		return &RequestError{"dtmf", fmt.Sprintf("it must hold 1 to %d keys", mostKeys)}
	case strings.Trim(text, keys) != "":
		return &RequestError{"dtmf", "the keys are 0-9, *, #, A-D, and a comma for a pause of a second"}
	case how != DigitsRTP && how != DigitsInfo && how != DigitsInfoRelay:
		return &RequestError{"type", "it must be RFC2833, INFO or INFO_RELAY"}
	}
	return k.do(func(now time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		if how == DigitsRTP {
			err := k.media.SendDigits(text)
			switch {
			case err == nil:
				return nil
			case !errors.Is(err, leg.ErrNoEvents):
				return fmt.Errorf("%w: %w", ErrState, err)
			}
			k.log.Info("the phone takes no digits by RTP, they go by INFO")
		}
		k.dialog.SendDigits(now, text)
		return nil
	})
}
