package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"transponder/internal/guard"
)

// Stats are the counts for /?action=stat.
type Stats struct {
	WebSockets      int // connections of the signalling
	RTMPConnections int // to our own RTMP server

	WebRTCIn, WebRTCOut int // streams published and played
	RTMPIn, RTMPOut     int // streams published and played; pushes count as played
	Viewers             int // players of all kinds

	MediaPortsFree, MediaPortsBusy int
}

// statGroup is a section of the answer.
type statGroup struct {
	title  string // headline in the text; the Web SDK takes its first word as the name of the section
	name   string // in JSON
	values []statValue
}

type statValue struct {
	key   string
	value any
}

// groups returns the counts in the order of the published contract. Kinds of connections and streams that this server does not have
// are 0: the console of the Web SDK adds them up.
func (st Stats) groups(p process) []statGroup {
	return []statGroup{
		{"Connection", "connections_stats", []statValue{
			{"connections", st.WebSockets + st.RTMPConnections},
			{"connections_rtmfp", 0},
			{"connections_websocket", st.WebSockets},
			{"connections_rtmp", st.RTMPConnections},
		}},
		{"Port", "port_stats", []statValue{
			{"ports_media_free", st.MediaPortsFree},
			{"ports_media_busy", st.MediaPortsBusy},
			{"ports_media_quarantine", 0},
		}},
		{"Stream", "streams_stats", []statValue{
			{"streams_webrtc_in", st.WebRTCIn},
			{"streams_webrtc_out", st.WebRTCOut},
			{"streams_rtmp_in", st.RTMPIn},
			{"streams_rtmp_out", st.RTMPOut},
			{"streams_rtsp_in", 0},
			{"streams_rtsp_out", 0},
			{"streams_rtmfp_in", 0},
			{"streams_rtmfp_out", 0},
			{"streams_websocket_out", 0},
			{"streams_viewers", st.Viewers},
		}},
		{"System", "system_stats", []statValue{
			{"system_java_cpu_usage", p.cpuPercent},
			{"system_memory_total", p.memoryTotal},
			{"system_memory_free", p.memoryFree},
		}},
		{"Core", "core_stats", []statValue{
			{"core_threads", p.threads},
		}},
	}
}

// Stat returns the handler for requests to / with the query action=stat. It answers with the counts that snapshot returns, as text, or
// as JSON with format=json, where groups= may name the wanted groups. Pages of other origins may ask if they may use the API.
func Stat(cfg Config, g *guard.Guard, snapshot func() Stats) (http.Handler, error) {
	pages, err := cfg.pageRules("stat", g)
	if err != nil {
		return nil, err
	}
	var meter processMeter
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := pages.check(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		groups := snapshot().groups(meter.read())
		query := r.URL.Query()
		if query.Get("format") == "json" {
			w.Header().Set("Content-Type", contentType)
			_ = json.NewEncoder(w).Encode(statJSON(groups, query.Get("groups")))
			return
		}
		w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
		_, _ = w.Write([]byte(statText(groups)))
	}), nil
}

// statText returns a headline and lines of key=value for each group. The first line must be a headline, without an empty line before
// it: otherwise the poll of the Web SDK never ends.
func statText(groups []statGroup) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "-----%s Stats-----\n", g.title)
		for _, v := range g.values {
			fmt.Fprintf(&b, "%s=%v\n", v.key, v.value)
		}
	}
	return b.String()
}

// statJSON returns the groups whose names are in the list, which is separated by commas; all groups if the list is empty.
func statJSON(groups []statGroup, names string) map[string]any {
	picked := map[string]any{}
	wanted := func(name string) bool { return names == "" || slices.Contains(strings.Split(names, ","), name) }
	for _, g := range groups {
		if !wanted(g.name) {
			continue
		}
		values := map[string]any{}
		for _, v := range g.values {
			values[v.key] = v.value
		}
		picked[g.name] = values
	}
	// The console of the Web SDK asks for this group alone, and fails without it.
	if wanted("transcoding_stats") {
		picked["transcoding_stats"] = map[string]any{"transcoding_video_full_info": map[string]any{}}
	}
	return picked
}
