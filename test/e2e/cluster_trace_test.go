//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestClusterTraces asks for pushes at a server that has not got the stream. One trace leads from the offer to the first picture at the RTMP server,
// whether the clients have a trace or not. Then the server that has the stream is killed: the reconnect at the other server has links to the push and
// to the publisher that came there.
func TestClusterTraces(t *testing.T) {
	t.Parallel()
	const clientTrace, clientSpan, key = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "traces-hunter2"
	client := traced{"00-" + clientTrace + "-" + clientSpan + "-01"}
	collector := testkit.NewCollector(t)
	g := newGroup(t)
	g.environment = []string{"OTEL_BSP_SCHEDULE_DELAY=100"}
	endpoint := "otel_endpoint=" + collector.URL
	a, b := g.join("a", endpoint), g.join("b", endpoint)

	of := func(node, member, value string) func(testkit.TraceSpan) bool {
		return func(s testkit.TraceSpan) bool {
			return s.Resource["service.instance.id"] == node && s.Attributes[member] == value
		}
	}
	within := func(parent testkit.TraceSpan) func(testkit.TraceSpan) bool {
		return func(s testkit.TraceSpan) bool { return s.Within(parent) }
	}
	// whole checks the trace of a publisher at a, and of a push of its stream.
	whole := func(stream, push string) (published, pushed testkit.TraceSpan) {
		t.Helper()
		published = collector.Await(t, "publish", of("a", "transponder.stream", stream))
		for _, step := range []string{"answer", "ICE", "DTLS", "first key frame"} {
			collector.Await(t, step, within(published))
		}
		connect := collector.Await(t, "connect", of("a", "transponder.push", push))
		for _, step := range []string{"TCP", "RTMP handshake", "RTMP connect", "createStream", "publish", "first media"} {
			collector.Await(t, step, within(connect))
		}
		pushed = collector.Await(t, "push", func(s testkit.TraceSpan) bool { return s.ID == connect.Parent })
		for _, s := range []testkit.TraceSpan{published, connect, pushed} {
			if s.Failed || s.Trace != published.Trace {
				t.Errorf("%s is in the trace %s, want that of its publisher, %s: %+v", s.Name, s.Trace, published.Trace, s)
			}
		}
		return published, pushed
	}

	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	var started push
	request := map[string]any{"streamName": "cam", "rtmpUrl": sink.URL("live/" + key), "rtmpTransponderFullUrl": true}
	if code := b.post("/push/startup", request, &started); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	published, pushed := whole("cam", started.MediaSessionID)
	if pushed.Parent != published.ID {
		t.Errorf("push %+v, want it within the publisher %+v", pushed, published)
	}
	if p := a.waitPush("cam", "PUBLISHING"); p.MediaSessionID != started.MediaSessionID {
		t.Errorf("the server that has the stream pushes %+v", p)
	}

	other := newFar(t)
	publishTraced(t, a.server, "second", client)
	body, err := json.Marshal(map[string]any{"streamName": "second", "rtmpUrl": other.URL("live")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: client}).Post(b.rest+"/push/startup", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var second push
	if err := json.NewDecoder(resp.Body).Decode(&second); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("startup answers %d: %v", resp.StatusCode, err)
	}
	hop := collector.Await(t, "hand over", of("b", "transponder.node", "a"))
	if hop.Trace != clientTrace || hop.Parent != clientSpan || hop.Failed || hop.Attributes["http.response.status_code"] != "200" {
		t.Errorf("handing over: %+v", hop)
	}
	if published, pushed := whole("second", second.MediaSessionID); published.Trace != clientTrace || published.Parent != clientSpan || pushed.Parent != hop.ID {
		t.Errorf("publisher %+v, push %+v: want both in the trace of the client, and the push within the handing over", published, pushed)
	}

	sink.flows(1)
	testkit.Eventually(t, time.Minute, func() string {
		if sink.last().Time < 3*time.Second {
			return "the push has not sent 3 s" // so its record is written
		}
		return ""
	})
	a.kill()
	leave()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	back := collector.Await(t, "publish", of("b", "transponder.stream", "cam"))
	again := collector.Await(t, "reconnect", of("b", "transponder.push", started.MediaSessionID))
	if want := []string{pushed.Trace, back.Trace}; again.Failed || again.Parent != "" || !slices.Equal(again.Links, want) {
		t.Errorf("the reconnect %+v, want links to %q", again, want)
	}
	if again.Attributes["transponder.after"] != "node_lost" || again.Attributes["transponder.attempt"] != "2" {
		t.Errorf("the reconnect: %v", again.Attributes)
	}
	for _, step := range []string{"TCP", "RTMP handshake", "RTMP connect", "createStream", "publish", "first media"} {
		collector.Await(t, step, within(again))
	}
	if log := b.log.String(); !strings.Contains(log, "trace_id="+again.Trace) {
		t.Errorf("no line of the log has the trace %s", again.Trace)
	}
	for _, s := range collector.Spans() {
		if strings.Contains(fmt.Sprint(s), key) {
			t.Errorf("a span has a stream key: %+v", s)
		}
	}
}
