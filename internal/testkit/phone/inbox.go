package phone

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// patience is how long Await waits.
const patience = 15 * time.Second

// note changes what the phone knows, and wakes those that wait.
func (p *Phone) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// take sorts what came: new messages go into the inbox.
func (p *Phone) take(b []byte, from string, w way) {
	m, err := parse(b)
	if err != nil {
		p.note(func() { p.faults = append(p.faults, err.Error()) })
		return
	}
	m.At, m.From, m.way = time.Now(), from, w
	var again []byte
	repeated := false
	p.note(func() {
		p.log = append(p.log, m)
		key := m.String() + " " + param(m.Header("Via"), "branch") + " " + m.Tag("To")
		if m.Code > 0 && m.Code < 200 { // several are no repetition: they may differ
			key += fmt.Sprint(" ", len(p.log))
		}
		repeated, p.seen[key] = p.seen[key], true
		again = p.answers[m.transaction()]
	})
	if ack := p.acknowledgement(m); ack != nil {
		w.send(ack)
	}
	if repeated && m.Code == 0 {
		if again != nil {
			w.send(again)
		}
		return
	}
	// A 2xx that comes again asks for another ACK: the test sees it.
	if p.cfg.Handle != nil && p.cfg.Handle(m) {
		return
	}
	p.note(func() { p.inbox = append(p.inbox, m) })
}

// acknowledgement makes the ACK of a final response other than 2xx, which belongs to the transaction of the INVITE (RFC 3261, 17.1.1.3).
func (p *Phone) acknowledgement(m *Message) []byte {
	n, method := m.CSeq()
	if m.Code < 300 || method != "INVITE" {
		return nil
	}
	p.mu.Lock()
	sent, ok := p.invites[param(m.Header("Via"), "branch")]
	p.mu.Unlock()
	if !ok {
		return nil
	}
	invite := &Message{Raw: sent.text}
	lines := []string{
		"ACK " + strings.Fields(sent.text)[1] + " SIP/2.0", "Via: " + invite.Header("Via"), "From: " + invite.Header("From"),
		"To: " + m.Header("To"), "Call-ID: " + m.Header("Call-ID"), fmt.Sprintf("CSeq: %d ACK", n), "Max-Forwards: 70",
	}
	for _, route := range invite.Headers("Route") {
		lines = append(lines, "Route: "+route)
	}
	return compose(lines, "", "")
}

// Find takes the first message of a pattern and a call out of the inbox, and waits for it until the limit. Pattern is "INVITE",
// "200 INVITE", or "18x INVITE"; call is a Call-ID, "" for any.
func (p *Phone) Find(pattern, call string, limit time.Duration) (*Message, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		i := slices.IndexFunc(p.inbox, func(m *Message) bool {
			return m.is(pattern) && (call == "" || m.Header("Call-ID") == call)
		})
		if i >= 0 {
			m := p.inbox[i]
			p.inbox = slices.Delete(p.inbox, i, i+1)
			p.mu.Unlock()
			return m, nil
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-deadline.C:
			return nil, fmt.Errorf("no %s within %v", pattern, limit)
		}
	}
}

// Await is Find for any call that fails the test if nothing came.
func (p *Phone) Await(pattern string) *Message {
	p.t.Helper()
	m, err := p.Find(pattern, "", patience)
	if err != nil {
		p.t.Fatalf("%s: %v; it received:\n%s", p.Addr(), err, p.Story())
	}
	return m
}

// Pending returns the messages that nobody has taken.
func (p *Phone) Pending() []*Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.inbox)
}

// All returns everything that came, in order and with repetitions.
func (p *Phone) All() []*Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// Count returns how many messages of a pattern came, with repetitions.
func (p *Phone) Count(pattern string) (n int) {
	for _, m := range p.All() {
		if m.is(pattern) {
			n++
		}
	}
	return n
}

// Faults returns what came and is no SIP message.
func (p *Phone) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}

// Story names everything that came, a line each.
func (p *Phone) Story() string {
	var b strings.Builder
	for _, m := range p.All() {
		fmt.Fprintf(&b, "%s %s %s\n", m.At.Format("05.000"), m, m.Header("Call-ID"))
	}
	for _, f := range p.Faults() {
		fmt.Fprintf(&b, "no message: %.300s\n", f)
	}
	return b.String()
}
