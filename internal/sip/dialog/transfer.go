package dialog

import "time"

// Transfer asks the peer by REFER to call another URI (RFC 3515). TransferProgress tells how that goes.
func (c *Call) Transfer(now time.Time, uri string) {
	if c.phase != established {
		return
	}
	c.transferring = true
	r := c.newRequest(c.dialog, "REFER")
	r.Header.add("Refer-To", "<"+uri+">")
	c.transact(now, c.dialog, r, func(_ time.Time, r *Response) {
		if r.Code/100 != 2 {
			c.transferProgress(r.Code)
		}
	})
}

func (c *Call) transferProgress(code int) {
	if !c.transferring || code == 0 {
		return
	}
	c.transferring = code < 200
	c.out = append(c.out, TransferProgress{code})
}
