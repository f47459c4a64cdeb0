package line

import (
	"bytes"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
)

const offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"

// startSIPp runs SIPp with one of the scenarios that it brings along. The function returned waits until SIPp has played its part.
func startSIPp(t *testing.T, args ...string) (await func()) {
	t.Helper()
	if _, err := exec.LookPath("sipp"); err != nil {
		t.Skip("no sipp")
	}
	args = append(args, "-i", "127.0.0.1", "-nostdin", "-trace_err", "-timeout", "20")
	cmd := exec.CommandContext(t.Context(), "sipp", args...)
	cmd.Dir = t.TempDir()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	var result error
	go func() {
		result = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	return func() {
		t.Helper()
		<-exited
		if result != nil {
			t.Errorf("sipp: %v\n%s", result, output.String())
		}
	}
}

// agent is the least that internal/sip has to do: it carries messages between a Line and one call.
type agent struct {
	*node
	call *dialog.Call
	path Path
	seen []dialog.Status
}

// drive carries messages until the call has a status.
func (a *agent) drive(until dialog.Status) {
	a.t.Helper()
	limit := time.After(20 * time.Second)
	for a.call.Status() != until {
		a.carry()
		if a.call.Status() == until {
			return
		}
		tick := time.NewTimer(time.Until(a.call.Deadline()))
		select {
		case m := <-a.got:
			if m.err != nil {
				a.t.Fatal(m.err)
			}
			a.call.Response(time.Now(), m.response)
		case m := <-a.requests:
			if !a.call.Request(time.Now(), m.request) {
				a.t.Errorf("%s is for no dialog", m.request.Method)
			}
		case <-tick.C:
			a.call.Tick(time.Now())
		case <-limit:
			a.t.Fatalf("the call does not end: %v", a.seen)
		}
		tick.Stop()
		a.carry()
	}
}

// carry does what the call wants.
func (a *agent) carry() {
	for _, out := range a.call.Take() {
		switch out := out.(type) {
		case dialog.Send:
			a.Send(out.Request, a.path, a)
		case dialog.Reply:
			a.Reply(out.Request, out.Response)
		case dialog.StatusChanged:
			a.seen = append(a.seen, out.Status)
		}
	}
}

func (a *agent) config() dialog.Config {
	return dialog.Config{LocalTag: "t" + strconv.FormatInt(time.Now().UnixNano(), 36), Contact: a.Contact("x", a.path), UserAgent: "test", AnswerTimeout: 10 * time.Second}
}

// We call SIPp.
func TestSIPpAnswers(t *testing.T) {
	for transport, args := range map[string][]string{"udp": nil, "tcp": {"-t", "t1"}} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			port := testkit.FreePort(t)
			startSIPp(t, append([]string{"-sn", "uas", "-p", port, "-m", "1"}, args...)...)
			a := &agent{node: newNode(t, func(cfg *Config, _ *Parts) { cfg.Timers.T1 = 50 * time.Millisecond })} // SIPp is slow to start
			a.path = a.resolve("sip:127.0.0.1:"+port, transport)
			if transport == "tcp" {
				eventually(t, "sipp listens", func() bool {
					conn, err := net.Dial("tcp", "127.0.0.1:"+port)
					if err == nil {
						conn.Close()
					}
					return err == nil
				})
			}
			a.call = dialog.Dial(time.Now(), a.config(), dialog.Target{
				CallID: "c" + port, URI: "sip:service@127.0.0.1:" + port, From: "<sip:a@127.0.0.1>", To: "<sip:service@127.0.0.1>", Offer: []byte(offer),
			})
			a.drive(dialog.Established)
			a.call.End(time.Now(), dialog.ReasonHungUp, "")
			a.carry()
			if bye := a.wantResponse(200).response; bye.Header.Get("CSeq") != "2 BYE" {
				t.Errorf("got a 200 for %s", bye.Header.Get("CSeq"))
			}
			want := []dialog.Status{dialog.Trying, dialog.Ring, dialog.Established, dialog.Finish}
			if !slices.Equal(a.seen, want) {
				t.Errorf("the statuses are %v, want %v", a.seen, want)
			}
		})
	}
}

// SIPp calls us.
func TestSIPpCalls(t *testing.T) {
	for transport, args := range map[string][]string{"udp": nil, "tcp": {"-t", "t1"}} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			a := &agent{node: newNode(t, nil)}
			await := startSIPp(t, append([]string{"-sn", "uac", "-m", "1", "-p", testkit.FreePort(t), "127.0.0.1:" + strconv.Itoa(a.Port("udp"))}, args...)...)
			in := take(t, a.requests)
			a.path = a.Back(in.from)
			a.call = dialog.Receive(time.Now(), a.config(), in.request)
			a.call.Ring()
			a.call.Accept(time.Now(), []byte(offer))
			a.drive(dialog.Finish)
			await()
		})
	}
}
