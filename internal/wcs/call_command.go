package wcs

import (
	"transponder/internal/sip"
)

// hold puts the other side on hold, or takes it back.
func (c *call) hold(name string, ref callRef) {
	c.whileTalking(name, func() error { return c.phone.Hold(c.id, name == "hold", bool(ref.HoldForTransfer)) })
}

func (c *call) transfer(name string, ref callRef) {
	c.whileTalking(name, func() error {
		target := string(ref.Target)
		if target == "" {
			return &sip.RequestError{Field: "target", Reason: "is missing"}
		}
		if err := checkWord("target", target); err != nil {
			return err
		}
		if c.s.calls.fixedCallee() != "" {
			return sip.ErrPolicy // the page would choose a callee
		}
		if err := c.s.mayCall(target); err != nil {
			return err
		}
		return c.phone.Transfer(c.id, target)
	})
}

func (c *call) sendDigits(name string, ref callRef) {
	keys, how := string(ref.DTMF), sip.Digits(ref.Type)
	c.whileTalking(name, func() error {
		if err := checkDigits(keys, how); err != nil {
			return err
		}
		return c.phone.SendDigits(c.id, keys, how)
	})
}

// whileTalking does what only an established call can do. The page is told of an error by fail.
func (c *call) whileTalking(name string, do func() error) {
	err := sip.ErrState
	if c.state.talking() {
		err = do()
	}
	if err != nil {
		c.refuse(name, err.Error())
	}
}

// refuse tells the page that a message had no effect. The status is repeated, since the page may wait for one.
func (c *call) refuse(name, info string) {
	c.log.Debug("message refused", "message", name, "err", info)
	c.s.send("fail", failure{APIMethod: name, ID: c.id, Status: failed, Info: info})
	c.sendState()
}
