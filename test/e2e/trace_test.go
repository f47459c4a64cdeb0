//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// traced lets a WHIP client be part of a trace.
type traced struct{ parent string }

func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", t.parent)
	return http.DefaultTransport.RoundTrip(r)
}

// publishTraced publishes until the test ends, for a client that has a trace.
func publishTraced(t *testing.T, s *server, name string, client traced) {
	t.Helper()
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, s.tracedExchange(name, client)) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-p.Connected():
	case err := <-ended:
		ended <- nil
		t.Fatalf("publish: %v", err)
	case <-time.After(15 * time.Second):
		t.Fatalf("%s is not connected after 15 s", name)
	}
}

// tracedExchange exchanges the offer of a client that has a trace.
func (s *server) tracedExchange(name string, client traced) func(ctx context.Context, offer string) (string, error) {
	return func(ctx context.Context, offer string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.whipURL(name), strings.NewReader(offer))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/sdp")
		resp, err := (&http.Client{Transport: client}).Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		return string(answer), err
	}
}

// A collector gets one trace from the offer of a WHIP client to the first picture at an RTMP server, inside of the trace of the client, and one of
// the reconnect. A push to the server itself shows a publisher by RTMP. The log names the traces, and no span has a stream key.
func TestTraces(t *testing.T) {
	t.Parallel()
	const clientTrace, clientSpan, key = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "traces-hunter2"
	collector := testkit.NewCollector(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServerIn(t, []string{"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test"},
		"otel_endpoint="+collector.URL, "log_json=true", "rtmp_push_restore=true", "rtmp_push_restore_interval_ms=100")

	publishTraced(t, s, "cam", traced{"00-" + clientTrace + "-" + clientSpan + "-01"})
	started := func(rtmpURL string) (id string) {
		var answer struct {
			ID string `json:"mediaSessionId"`
		}
		if code := s.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": rtmpURL}, &answer); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		return answer.ID
	}
	named, err := url.Parse(receiver.URL("live/" + key))
	if err != nil {
		t.Fatal(err)
	}
	named.Host = "localhost:" + named.Port()
	id := started(named.String())

	span := func(name string, is func(testkit.TraceSpan) bool) testkit.TraceSpan {
		t.Helper()
		var found testkit.TraceSpan
		testkit.Eventually(t, 20*time.Second, func() string {
			all := collector.Spans()
			i := slices.IndexFunc(all, func(s testkit.TraceSpan) bool { return s.Name == name && is(s) })
			if i < 0 {
				return fmt.Sprintf("no span %s among %+v", name, all)
			}
			found = all[i]
			return ""
		})
		return found
	}
	within := func(parent testkit.TraceSpan) func(testkit.TraceSpan) bool {
		return func(s testkit.TraceSpan) bool { return s.Trace == parent.Trace && s.Parent == parent.ID }
	}
	ofPush := func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == id }

	publish := span("publish", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.door"] == "whip" })
	if publish.Trace != clientTrace || publish.Parent != clientSpan || publish.Failed || publish.Attributes["transponder.stream"] != "cam" ||
		publish.Attributes["transponder.receiver"] != "lean" || publish.Resource["deployment.environment"] != "test" {
		t.Errorf("publisher: %+v", publish)
	}
	connect := span("connect", ofPush)
	push := span("push", func(s testkit.TraceSpan) bool { return s.ID == connect.Parent })
	request := span("request", within(push))
	inOrder := []testkit.TraceSpan{publish}
	for _, name := range []string{"answer", "ICE", "DTLS", "first key frame"} {
		inOrder = append(inOrder, span(name, within(publish)))
	}
	inOrder = append(inOrder, request)
	span("resolve", within(request))
	span("publisher", within(push))
	for _, name := range []string{"TCP", "RTMP handshake", "RTMP connect", "createStream", "publish", "first media"} {
		inOrder = append(inOrder, span(name, within(connect)))
	}
	if push.Trace != clientTrace || push.Parent != publish.ID {
		t.Errorf("push: %+v", push)
	}
	for i, one := range inOrder {
		if one.Failed || one.Begin > one.End || i > 0 && one.Name != "request" && one.Begin < inOrder[i-1].Begin {
			t.Errorf("step %d, %s: %+v", i, one.Name, one)
		}
	}
	if target := connect.Attributes["transponder.target"]; !strings.HasSuffix(target, "/***") || connect.Attributes["transponder.attempt"] != "1" {
		t.Errorf("connect: %+v", connect)
	}

	receiver.Kick()
	again := span("reconnect", ofPush)
	if again.Trace == clientTrace || again.Parent != "" || again.Failed || len(again.Links) != 1 || again.Links[0] != clientTrace {
		t.Errorf("reconnect: %+v", again)
	}
	span("first media", within(again))

	bad := started("rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live/" + key)
	refused := span("connect", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.push"] == bad })
	if !refused.Failed || refused.Attributes["error.type"] != "tcp_refused" {
		t.Errorf("connect to nobody: %+v", refused)
	}
	if tcp := span("TCP", within(refused)); !tcp.Failed || tcp.Attributes["network.peer.address"] != "127.0.0.1" {
		t.Errorf("TCP to nobody: %+v", tcp)
	}

	started(s.rtmp + "/again")
	rtmp := span("publish", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.door"] == "rtmp" })
	span("first key frame", within(rtmp))

	lines := map[string]string{"push live": again.Trace, "session begun": clientTrace, "push started": clientTrace}
	for message, id := range lines {
		if !slices.ContainsFunc(strings.Split(s.log.String(), "\n"), func(line string) bool {
			return strings.Contains(line, `"msg":"`+message+`"`) && strings.Contains(line, `"trace_id":"`+id+`"`)
		}) {
			t.Errorf("no line %q in the log has the trace %s", message, id)
		}
	}
	for _, one := range collector.Spans() {
		if strings.Contains(fmt.Sprint(one), key) {
			t.Errorf("a span has a stream key: %+v", one)
		}
	}
	if sent := s.metric(t, "transponder_trace_spans_total", `result="sent"`); sent < 20 {
		t.Errorf("%v spans were sent, says /metrics", sent)
	}
}
