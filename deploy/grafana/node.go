package main

var node = board{
	name:  "node",
	title: "Transponder: one server",
	about: "One server: its machine, its doors, its state, and the cluster as it sees it.",
	variables: []variable{
		{"instance", "Server", `label_values(up{job="transponder"}, instance)`, false},
	},
	rows: []row{
		{"Process", []panel{
			{number, "Runs", "Time since the start of the process.", "s", one(`time() - process_start_time_seconds{instance="$instance"}`, "")},
			{number, "Takes work", "0 while the server takes no new streams because it ends soon.", "none", one(`1 - transponder_draining{instance="$instance"}`, "")},
			{number, "State written", "0 if the disk does not take changes.", "none", one(`1 - transponder_state_failing{instance="$instance"}`, "")},
			{number, "Certificate", "Time until the first certificate ends.", "s", one(`min(transponder_tls_certificate_not_after_seconds{instance="$instance"}) - time()`, "")},
			{number, "Faults of the program", "Sessions, requests and pushes that a fault of the program has ended.", "none", one(`sum(transponder_session_panics_total{instance="$instance"})`, "")},
			{number, "Open files", "Files and connections that are open, as a share of the limit.", "percentunit", one(`process_open_fds{instance="$instance"} / process_max_fds`, "")},
			{lines, "Processors", "Processor cores that the server uses, and how many it may use.", "suffix: cores", []query{
				{`transponder_load_cores{instance="$instance"}`, "used"},
				{`transponder_load_allowed_cores{instance="$instance"} > 0`, "allowed"},
				{`transponder_transcoder_cores{instance="$instance"}`, "for transcoding"},
			}},
			{lines, "Memory", "Memory of the process, and what the program has in use.", "bytes", []query{
				{`process_resident_memory_bytes{instance="$instance"}`, "process"},
				{`go_memstats_heap_inuse_bytes{instance="$instance"}`, "heap"},
			}},
			{lines, "Goroutines", "Should be level while the number of streams is level.", "none", one(`go_goroutines{instance="$instance"}`, "goroutines")},
		}},
		{"Media", []panel{
			{lines, "Streams", "Streams by state.", "none", one(`transponder_streams{instance="$instance"}`, "{{state}}")},
			{lines, "Pushes", "Pushes by state.", "none", one(`transponder_pushes{instance="$instance"}`, "{{state}}")},
			{lines, "Players", "Players by the way that they come.", "none", []query{
				{`transponder_players{instance="$instance"}`, "WebRTC"},
				{`transponder_rtmp_players{instance="$instance"}`, "RTMP"},
			}},
			{lines, "Publishers over WebRTC", "Publishers by the receiver that serves them.", "none", one(`transponder_publishers{instance="$instance"}`, "{{receiver}}")},
			{lines, "Lost datagrams", "Datagrams of WebRTC that were lost in this machine, or came from strangers.", "pps", one(`rate(transponder_media_datagrams_lost_total{instance="$instance"}[$__rate_interval])`, "{{reason}}")},
			{lines, "Transcoding", "Pictures that were encoded, and those that were left out because the machine is too slow.", "ops", []query{
				{`rate(transponder_pictures_transcoded_total{instance="$instance"}[$__rate_interval])`, "encoded"},
				{`rate(transponder_pictures_dropped_total{instance="$instance"}[$__rate_interval])`, "left out"},
				{`rate(transponder_transcoder_restarts_total{instance="$instance"}[$__rate_interval])`, "processes started again"},
			}},
		}},
		{"Doors", []panel{
			{lines, "Connections", "Open connections of pages and of RTMP.", "none", []query{
				{`transponder_websockets{instance="$instance"}`, "pages"},
				{`transponder_rtmp_connections{instance="$instance"}`, "RTMP"},
			}},
			{lines, "Turned away", "Requests and connections that were refused, by door and reason.", "ops", one(`rate(transponder_turned_away_total{instance="$instance"}[$__rate_interval]) > 0`, "{{door}} {{reason}}")},
			{lines, "Refused because of load", "Publishers, pushes and players that were refused because the processors are busy.", "ops", one(`rate(transponder_load_refused_total{instance="$instance"}[$__rate_interval])`, "refused")},
			{lines, "Calls", "Calls with phones by status.", "none", one(`transponder_sip_calls{instance="$instance"}`, "{{status}}")},
			{lines, "Registrations", "Registrations at SIP servers. up below wanted: calls do not arrive.", "none", one(`transponder_sip_registrations{instance="$instance"}`, "{{state}}")},
			{lines, "Backends", "How long 95 of 100 requests to the backends of applications take.", "s", one(`histogram_quantile(0.95, sum by (app, le) (rate(transponder_hook_duration_seconds_bucket{instance="$instance"}[$__rate_interval])))`, "{{app}}")},
		}},
		{"State and cluster", []panel{
			{lines, "Writes to the disk", "How long 90 of 100 writes take.", "s", one(`histogram_quantile(0.9, sum by (le) (rate(transponder_state_write_seconds_bucket{instance="$instance"}[$__rate_interval])))`, "write")},
			{lines, "Lease", "What is left of the lease of this server, and how long it takes to renew it.", "s", []query{
				{`transponder_cluster_lease_remaining_seconds{instance="$instance"}`, "left"},
				{`transponder_cluster_renew_seconds{instance="$instance"}`, "to renew"},
			}},
			{lines, "Requests to other servers", "Requests by result.", "ops", one(`sum by (result) (rate(transponder_cluster_requests_total{instance="$instance"}[$__rate_interval]))`, "{{result}}")},
			{lines, "Events that wait", "Events for other servers that NATS has not taken yet.", "none", one(`transponder_cluster_events_waiting{instance="$instance"}`, "waiting")},
			{lines, "Relays", "Streams that come from other servers, or go there.", "none", one(`transponder_cluster_relays{instance="$instance"}`, "{{direction}}")},
			{lines, "Clock", "The clock of NATS minus the clock of this server.", "s", one(`transponder_cluster_clock_skew_seconds{instance="$instance"}`, "skew")},
		}},
	},
}
