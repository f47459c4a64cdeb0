package main

import "fmt"

var overview = board{
	name:  "overview",
	title: "Transponder: overview",
	about: "All servers and all pushes: is every broadcast on air?",
	variables: []variable{
		{"instance", "Server", `label_values(up{job="transponder"}, instance)`, true},
	},
	rows: []row{
		{"Now", []panel{
			{number, "Servers", "Servers that answer Prometheus.", "none", one(`sum(up{job="transponder", instance=~"$instance"})`, "up")},
			{number, "On air", "Pushes whose destination takes media.", "none", one(`sum(transponder_pushes{instance=~"$instance", state=~"publishing|degraded|holding"})`, "on air")},
			{number, "Not well", "Pushes that are degraded, hold their stream, or have no connection.", "none", one(`sum(transponder_pushes{instance=~"$instance", state=~"degraded|holding|connecting|reconnecting"})`, "not well")},
			{number, "Publishers", "Streams that have a publisher.", "none", one(`sum(transponder_streams{instance=~"$instance", state="live"})`, "live")},
			{number, "Players", "Players over WebRTC and over RTMP.", "none", one(`sum(transponder_players{instance=~"$instance"}) + sum(transponder_rtmp_players{instance=~"$instance"})`, "players")},
			{number, "Sent", "What all pushes send.", "Bps", one(`sum(rate(transponder_push_sent_bytes_total{instance=~"$instance"}[$__rate_interval]))`, "sent")},
		}},
		{"Pushes", []panel{
			{list, "Pushes", "Each push with its state, the reason, and the host to which it goes.", "none", one(`transponder_push_state{instance=~"$instance"} * on (instance, push) group_left (host, destination) transponder_push_info`, "")},
			{lines, "States", "Pushes by state.", "none", one(`sum by (state) (transponder_pushes{instance=~"$instance"})`, "{{state}}")},
			{lines, "Ends", "Pushes that are over, within five minutes, by the last state and the reason.", "none", one(`sum by (state, reason) (increase(transponder_pushes_ended_total{instance=~"$instance"}[5m])) > 0`, "{{state}} {{reason}}")},
			{lines, "Reconnects", "Reconnects within five minutes, by stream.", "none", one(`sum by (stream) (increase(transponder_push_reconnects_total{instance=~"$instance"}[5m])) > 0`, "{{stream}}")},
			{lines, "Delay", "How late pushes are: half of them are less late than the first line, 99 of 100 less than the last.", "s", []query{
				{quantile(0.5, "transponder_pushes_delay_seconds", "$__rate_interval"), "half"},
				{quantile(0.95, "transponder_pushes_delay_seconds", "$__rate_interval"), "95 %"},
				{quantile(0.99, "transponder_pushes_delay_seconds", "$__rate_interval"), "99 %"},
			}},
			{lines, "Frames left out", "Pictures and sound that viewers miss, by cause.", "ops", one(`sum by (cause) (rate(transponder_push_dropped_frames_total{instance=~"$instance"}[$__rate_interval]))`, "{{cause}}")},
			{lines, "Time to live", "Time from the request for a push to its first PUBLISHING, of the pushes of the last half hour.", "s", []query{
				{quantile(0.5, "transponder_pushes_live_after_seconds", "30m"), "half"},
				{quantile(0.95, "transponder_pushes_live_after_seconds", "30m"), "95 %"},
			}},
		}},
		{"Servers", []panel{
			{lines, "Processors", "Processor time in use, as a share of what the server may use.", "percentunit", one(`transponder_load_cores{instance=~"$instance"} / (transponder_load_allowed_cores > 0)`, "{{instance}}")},
			{lines, "Memory", "Memory of the server, without the processes that transcode.", "bytes", one(`process_resident_memory_bytes{job="transponder", instance=~"$instance"}`, "{{instance}}")},
			{lines, "Publishers", "Streams by server.", "none", one(`sum by (instance) (transponder_streams{instance=~"$instance"})`, "{{instance}}")},
			{lines, "Turned away", "Requests and connections that were refused, by reason.", "ops", one(`sum by (reason) (rate(transponder_turned_away_total{instance=~"$instance"}[$__rate_interval]))`, "{{reason}}")},
			{lines, "Cluster", "Servers of the cluster, as each server sees it.", "none", one(`transponder_cluster_nodes{instance=~"$instance"}`, "{{instance}}")},
			{lines, "Cut off", "1 while NATS does not answer a server.", "none", one(`transponder_cluster_isolated{instance=~"$instance"}`, "{{instance}}")},
		}},
	},
}

// quantile makes the query for the time below which a share of the times of a histogram is. A Prometheus with native histograms has the histogram
// itself, whose buckets are finer. Another one has the classic buckets.
func quantile(share float64, histogram, within string) string {
	return fmt.Sprintf(`histogram_quantile(%[1]v, sum(rate(%[2]s{instance=~"$instance"}[%[3]s]))) or histogram_quantile(%[1]v, sum by (le) (rate(%[2]s_bucket{instance=~"$instance"}[%[3]s])))`, share, histogram, within)
}
