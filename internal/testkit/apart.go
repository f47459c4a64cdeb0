package testkit

import (
	"context"
	"fmt"
	"strings"
)

// Apart joins the offers of two clients, with one media section each, into one offer without bundling. Each client gets its part of the
// answer.
func Apart(exchange Exchange) (first, second Exchange) {
	type outcome struct {
		answer string
		err    error
	}
	offers, answers := make(chan string, 1), make(chan outcome, 1)
	first = func(ctx context.Context, offer string) (string, error) {
		offers <- offer
		select {
		case o := <-answers:
			return o.answer, o.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	second = func(ctx context.Context, offer string) (string, error) {
		var other string
		select {
		case other = <-offers:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		answer, err := exchange(ctx, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"+loneSection(other, "a")+loneSection(offer, "b"))
		head, rest, one := strings.Cut(answer, "m=")
		mine, theirs, two := strings.Cut(rest, "\r\nm=")
		if err == nil && (!one || !two) {
			err = fmt.Errorf("the answer does not have two sections:\n%s", answer)
		}
		part := func(section, mid string) string {
			return head + "m=" + strings.Replace(strings.TrimSpace(section), "a=mid:"+mid, "a=mid:0", 1) + "\r\n"
		}
		answers <- outcome{part(mine, "a"), err}
		return part(theirs, "b"), err
	}
	return first, second
}

// loneSection returns the only media section of an offer under another name, with the DTLS attributes of the session part.
func loneSection(offer, mid string) string {
	head, section, _ := strings.Cut(offer, "m=")
	for line := range strings.Lines(head) {
		if strings.HasPrefix(line, "a=fingerprint:") {
			section += line
		}
	}
	return "m=" + strings.Replace(section, "a=mid:0", "a=mid:"+mid, 1)
}
