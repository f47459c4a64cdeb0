package main

var stream = board{
	name:  "stream",
	title: "Transponder: one stream",
	about: "One stream: what comes from its publisher, and what each of its pushes sends.",
	variables: []variable{
		{"stream", "Stream", `label_values(transponder_stream_frames_total, stream)`, false},
		{"push", "Push", `label_values(transponder_push_state{stream="$stream"}, push)`, true},
	},
	rows: []row{
		{"Publisher", []panel{
			{lines, "Frames", "Frames that come from the publisher.", "ops", one(`sum by (kind) (rate(transponder_stream_frames_total{stream="$stream"}[$__rate_interval]))`, "{{kind}}")},
			{lines, "Bit rate", "What the publisher sends, without the overhead of the network.", "bps", one(`8 * sum by (kind) (rate(transponder_stream_bytes_total{stream="$stream"}[$__rate_interval]))`, "{{kind}}")},
			{lines, "Key frames", "Time between the last two key frames. Platforms want 2 s, and complain over 4 s.", "s", one(`transponder_stream_key_frame_interval_seconds{stream="$stream"}`, "{{instance}}")},
			{lines, "Network", "Round trip time to the publisher, and the variation of the time that packets take.", "s", []query{
				{`transponder_publisher_round_trip_seconds{stream="$stream"}`, "round trip"},
				{`transponder_publisher_jitter_seconds{stream="$stream"}`, "jitter"},
			}},
			{lines, "Lost packets", "RTP packets that were lost on the way, as a share of those that came.", "percentunit", one(`sum by (fault) (rate(transponder_publisher_packet_faults_total{stream="$stream"}[$__rate_interval])) / on () group_left () sum(rate(transponder_publisher_packets_total{stream="$stream"}[$__rate_interval]))`, "{{fault}}")},
			{lines, "Faults", "Media that could not be used, and pictures that did not arrive whole.", "ops", []query{
				{`sum by (kind, fault) (rate(transponder_stream_faults_total{stream="$stream"}[$__rate_interval]))`, "{{kind}} {{fault}}"},
				{`sum(rate(transponder_publisher_broken_pictures_total{stream="$stream"}[$__rate_interval]))`, "broken pictures"},
			}},
			{lines, "Readers", "Pushes, players and transcoders that read the stream.", "none", one(`sum by (kind) (transponder_stream_readers{stream="$stream"})`, "{{kind}}")},
			{lines, "Clock", "How much faster the clock of the publisher is than the clock of the server.", "percentunit", one(`transponder_stream_clock_drift_ratio{stream="$stream"}`, "{{instance}}")},
			{lines, "Sound that waits", "How late sound may come before silence takes its place.", "s", one(`transponder_stream_sound_hold_seconds{stream="$stream"}`, "{{instance}}")},
		}},
		{"Pushes", []panel{
			{list, "Pushes", "State, reason and host of each push.", "none", one(`transponder_push_state{stream="$stream", push=~"$push"} * on (instance, push) group_left (host, destination) transponder_push_info`, "")},
			{lines, "Bit rate", "What each push sends.", "bps", one(`8 * sum by (push) (rate(transponder_push_sent_bytes_total{stream="$stream", push=~"$push"}[$__rate_interval]))`, "{{push}}")},
			{lines, "Frames", "Frames that each push sends.", "ops", one(`sum by (push, kind) (rate(transponder_push_frames_total{stream="$stream", push=~"$push"}[$__rate_interval]))`, "{{push}} {{kind}}")},
			{lines, "Late", "Age of the oldest media that the destination has not received yet.", "s", one(`transponder_push_queue_seconds{stream="$stream", push=~"$push"}`, "{{push}}")},
			{lines, "Waiting", "Bytes that the destination has not received yet.", "bytes", one(`transponder_push_queue_bytes{stream="$stream", push=~"$push"}`, "{{push}}")},
			{lines, "Frames left out", "Pictures and sound that viewers miss, by cause.", "ops", one(`sum by (push, cause) (rate(transponder_push_dropped_frames_total{stream="$stream", push=~"$push"}[$__rate_interval]))`, "{{push}} {{cause}}")},
			{lines, "Missing", "Time that viewers miss in each minute, because the destination is too slow.", "s", one(`60 * sum by (push, kind) (rate(transponder_push_dropped_seconds_total{stream="$stream", push=~"$push"}[$__rate_interval]))`, "{{push}} {{kind}}")},
			{lines, "Round trip", "Round trip time of TCP to the destination.", "s", one(`transponder_push_round_trip_seconds{stream="$stream", push=~"$push"}`, "{{push}}")},
			{lines, "Sent again", "TCP segments that the way to the destination has lost.", "pps", one(`sum by (push) (rate(transponder_push_retransmitted_segments_total{stream="$stream", push=~"$push"}[$__rate_interval]))`, "{{push}}")},
			{lines, "Sound against pictures", "How far the sound that was sent is ahead of the pictures. Below 0, it is behind.", "s", one(`transponder_push_av_offset_seconds{stream="$stream", push=~"$push"}`, "{{push}}")},
			{lines, "Reconnects", "Reconnects within five minutes.", "none", one(`sum by (push) (increase(transponder_push_reconnects_total{stream="$stream", push=~"$push"}[5m]))`, "{{push}}")},
			{lines, "Time to live", "Time from the request to the first PUBLISHING.", "s", one(`transponder_push_live_after_seconds{stream="$stream", push=~"$push"}`, "{{push}}")},
			{lines, "Addresses", "1 if an address of a push with several takes the stream.", "none", one(`transponder_push_address_up{stream="$stream", push=~"$push"}`, "{{push}} {{address}}")},
		}},
	},
}
