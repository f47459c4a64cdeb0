package leg

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// Only a track that has sent lately makes sender reports (RFC 3550, 6.4).
func TestReportOfSenderThatStopped(t *testing.T) {
	tr := track{out: newOut(pair{})}
	tr.out.sent = sent{packets: 1, clock: 8000, wall: time.Now()}
	for now, want := range map[time.Duration]rtcp.Packet{
		time.Second: &rtcp.SenderReport{}, lately: &rtcp.SenderReport{}, lately + 1: &rtcp.ReceiverReport{},
	} {
		if got, want := fmt.Sprintf("%T", tr.report(now)), fmt.Sprintf("%T", want); got != want {
			t.Errorf("%v after the last packet: %s, want %s", now, got, want)
		}
	}
}
