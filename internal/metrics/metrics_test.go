package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
	"transponder/internal/certificate"
	"transponder/internal/cluster"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// scrape returns the body of the answer.
func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape = %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours returns the lines with metrics of this server.
func ours(text string) []string {
	lines := strings.Split(text, "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "transponder_") })
}

// everything returns parts with a figure for each metric.
func everything(t *testing.T) Parts {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	cam, err := hub.Publish(stream.Info{Name: "cam", ID: "1", AskKeyFrame: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cam.Close(nil) })
	cam.SetLive()
	track := &media.Track{Codec: media.H264}
	cam.Video.Fault(stream.FaultForm)
	cam.Video.Fault(stream.FaultForm)
	cam.Audio.Fault(stream.FaultConfig)
	cam.Video.Write(media.Frame{Track: track, Key: true, Data: make([]byte, 100)})
	cam.Video.Write(media.Frame{Track: track, Key: true, Data: make([]byte, 50), Time: media.Timestamp(1500 * time.Millisecond)})
	cam.Audio.Write(media.Frame{Track: &media.Track{Codec: media.Opus}, Data: make([]byte, 7)})
	cam.RequestKeyFrame()

	return Parts{
		Streams: hub.Sources,
		Pushes: func() []transponder.Info {
			return []transponder.Info{{
				ID: "p1", SourceName: "cam", Active: "cam-b", StreamName: "hunter2", URL: "rtmp://u:hunter2@h/app/hunter2",
				Target: "rtmp://h:1936/app/***", Destination: "fb", DroppedLate: 1, TranscoderDropped: 5, QueuedBytes: 4000, LiveAfter: 1500 * time.Millisecond,
				RoundTrip: 30 * time.Millisecond, Resent: 6, AVOffset: -20 * time.Millisecond, AVKnown: true,
				State: transponder.Live, Attempts: 3, BytesSent: 1000, BytesAcked: 900, VideoFrames: 30, AudioFrames: 47,
				DroppedFrames: 2, DroppedBytes: 80, DroppedTime: 500 * time.Millisecond, DroppedSound: 250 * time.Millisecond, QueuedTime: 40 * time.Millisecond,
			}, {
				ID: "p2", SourceName: "cam", Active: "cam", State: transponder.Starting, Reason: transponder.ReasonNoMedia, NotKept: true,
				Addresses: []transponder.AddressInfo{
					{InUse: true, State: transponder.Degraded, BytesSent: 61, Attempts: 62}, {State: transponder.Live, BytesSent: 63, Attempts: 64}, {InUse: true, State: transponder.Waiting},
				},
			}}
		},
		Resumes: func() transponder.ResumeStats {
			return transponder.ResumeStats{Live: 242, Expired: 243, Ended: 244, Failed: 245, Took: 6 * time.Second}
		},
		PushFigures: func() transponder.Figures {
			return transponder.Figures{
				Ends:      map[transponder.End]int64{{State: transponder.Failed, Reason: transponder.ReasonAuth}: 246},
				LiveAfter: transponder.Durations{Counts: [11]int64{4: 1, 5: 2, 10: 1}, Fine: [176]int64{79: 1, 85: 2, 150: 1}, Sum: 9 * time.Second},
				Delay:     transponder.Durations{Counts: [11]int64{0: 2, 4: 3, 5: 1, 10: 1}, Zero: 2, Fine: [176]int64{76: 1, 77: 2, 80: 1, 150: 1}, Sum: 10 * time.Second},
			}
		},
		Refusals: func() map[guard.Refused]int64 { return map[guard.Refused]int64{{Door: "http", Why: "share"}: 259} },
		Drain:    func() (time.Duration, bool) { return 12 * time.Second, true },
		Load:     func() load.Stats { return load.Stats{Used: 1.5, Allowed: 1.75, Stream: 0.25, Refused: 248} },
		Certificates: func() certificate.Stats {
			return certificate.Stats{NotAfter: map[string]time.Time{"live.example.com": time.Unix(1_900_000_000, 0)}, Loaded: 249, Refused: 250, Ordered: 257, Failed: 258}
		},
		Limits: func() map[string]int { return map[string]int{"pushes": 500, "players": 0} },
		Switches: func() map[transponder.SwitchCause]int64 {
			return map[transponder.SwitchCause]int64{transponder.SwitchLost: 13}
		},
		Takeovers:  func() int64 { return 14 },
		Promotions: func() int64 { return 15 },
		Standbys:   func() int { return 16 },
		Publishers: func() map[string]int { return map[string]int{"lean": 8, "peer": 2} },
		Datagrams:  func() map[string]int64 { return map[string]int64{"refused": 11} },
		Panics:     func() map[string]int64 { return map[string]int64{"push": 12} },
		Restarts: func() map[string]rtc.RestartStats {
			return map[string]rtc.RestartStats{"whip": {Done: 17, Limited: 18, Refused: 19}}
		},
		Cluster: func() cluster.Stats {
			return cluster.Stats{
				Nodes: 201, Isolated: true, Lease: 2 * time.Second, Renew: 3 * time.Second, Renewals: 204, RenewErrors: 205, Isolations: 206,
				Shut: 7 * time.Second, Rebuilds: 208, Skew: -9 * time.Second, Answered: 213, Busy: 4,
				Requests: cluster.RequestStats{
					ByKind: map[cluster.RequestKind]int64{{Verb: "has", Outcome: cluster.OutcomeAnswered}: 210, {Verb: "http", Outcome: cluster.OutcomeTimeout}: 2},
					Total:  11 * time.Second, Buckets: [9]int64{200, 10, 0, 0, 0, 0, 0, 1, 1},
				},
				Names: 217, Provisional: 3, NameConflict: 215,
			}
		},
		Router: func() cluster.RouterStats { return cluster.RouterStats{Asked: 220, Unheard: 5, Served: 222, Again: 6} },
		Relays: func() cluster.RelayStats {
			return cluster.RelayStats{In: cluster.RelayDirection{Now: 231, Opened: 232, Failed: 233, Bytes: 234}, Out: cluster.RelayDirection{Now: 235, Opened: 236, Failed: 237, Bytes: 238}}
		},
		Events: func() cluster.EventsStats {
			return cluster.EventsStats{Written: 241, Failures: 242, Lost: 243, Received: 244, Waiting: 245, Lag: 8 * time.Second}
		},
		Past: func() cluster.PastStats { return cluster.PastStats{Waiting: 246, Lost: 247} },
		Shared: func() cluster.SharedStats {
			return cluster.SharedStats{Records: 248, Stale: true, Refused: 249, Rereads: 251}
		},
		EndsWaiting: func() int { return 252 },
		Claims: func() cluster.ClaimStats {
			return cluster.ClaimStats{Created: 251, Taken: 252, Refused: 253, Isolated: 254, Failed: 255, EpochConflicts: 256}
		},
		State: func() state.Stats {
			return state.Stats{
				Failing: true, Writes: 41, Failures: 42, Damaged: 43, SetAside: true, Bytes: 241, Commits: state.Times{Counts: [9]int64{1, 2, 3, 4, 5, 6, 7, 8, 9}, Sum: 5 * time.Second},
			}
		},
		Tokens: func() token.Stats {
			return token.Stats{Accepted: 44, Refused: map[string]int64{"expired": 45}, Keys: 46, Revocations: 47, Signers: 48, Stale: true}
		},
		Traces:    func() trace.Stats { return trace.Stats{Sent: 260, Dropped: 261, Failed: 262, Queued: 263} },
		Leases:    func() int { return 49 },
		OverLimit: func() map[string]int64 { return map[string]int64{"players": 50} },
		Audit:     func() audit.Stats { return audit.Stats{Written: 151, Dropped: 152, Failed: 153} },
		People: func() people.Stats {
			return people.Stats{Users: map[access.Role]int{access.Viewer: 154}, Sessions: 155, Right: 156, Wrong: 157, TooMany: 158}
		},
		Players: func() int { return 7 },
		WebSockets: func() WebSocketStats {
			return WebSocketStats{
				Sessions: 5, Kept: 21, Publishers: 22, Players: 23, Accepted: 24, Received: 25, Sent: 26, Ignored: 27,
				Floods: 28, Slow: 29, Silent: 30, Panics: 31, Published: 32, Failed: 33, Played: 34, PlayFailed: 35,
				Calls: 36, CallsMade: 37, CallsTaken: 38, Talked: 39, CallsFailed: 40,
			}
		},
		RTMP: func() RTMPStats {
			return RTMPStats{
				Connections: 6, Publishers: 41, Players: 42, Accepted: 43, Rejected: 44, Refused: 45, Strangers: 46,
				BadFrames: 47, TimeJumps: 48, SlowPlayer: 49, Dropped: 50, Panics: 51,
			}
		},
		Sessions: func() []rtc.PublisherStats {
			return []rtc.PublisherStats{
				{Stream: "cam", SessionStats: rtc.SessionStats{
					JitterBufferStats: rtc.JitterBufferStats{
						Packets: 60, Bytes: 61, Lost: 62, Late: 63, Duplicate: 64, NACKs: 65, PLIs: 66, BrokenUnits: 67,
					},
					RoundTrip: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, ClockJumps: 68,
				}},
				{Stream: "new"},
			}
		},
		Calls: func() sip.Stats {
			return sip.Stats{
				Calls: map[dialog.Status]int{dialog.Ring: 1, dialog.Established: 2}, StartedOut: 72, StartedIn: 73,
				Ended: map[dialog.Reason]int64{dialog.ReasonBusy: 74, dialog.ReasonHungUp: 75}, Turned: map[string]int64{"policy": 76},
				Registrations: sip.Registrations{Wanted: 3, Up: 2}, Registered: 77, RegisterFailed: 78, Received: 79, Lost: 80,
				Refused: map[string]int64{"stranger": 81}, KeyFrames: map[string]int64{"pli": 82, "info": 83},
				Dropped: map[string]int64{"rate": 84}, Panics: 85,
			}
		},
		SourceSound: func(*stream.Source) (sound.Stats, bool) {
			return sound.Stats{DriftPPM: -50, Hold: 120 * time.Millisecond}, true
		},
		Hooks: func() transponder.HookStats { return transponder.HookStats{Delivered: 9, Retried: 4, Dead: 1} },
		Backends: func() []hook.Stats {
			return []hook.Stats{{
				App: "defaultApp", Requests: map[hook.Method]map[hook.Result]int64{hook.Connect: {hook.RefusedIt: 91}}, UnderWay: 92, Waiting: 93,
				Buckets: map[float64]uint64{0.05: 94}, Count: 95, Seconds: 9.5, Ignored: 96, LostEvents: 97, Down: true,
			}}
		},
		Sound: func() sound.Stats {
			return sound.Stats{
				Renditions: 2, FramesOut: 110, FramesMade: 100, FramesMono: 50, FramesReused: 20, Changes: 8, DecodeErrors: 3, Silence: 24000,
				PacketsIn: 70, Concealed: 48000, Trimmed: 96000, Inserted: 480, Removed: 960,
			}
		},
		SoundFiles: func() soundfile.Stats {
			return soundfile.Stats{Players: 1, Files: 3, Encoded: 71, Bytes: 500, Errors: 2, Starved: 7}
		},
		Thumbnails: func() picture.ThumbnailStats {
			return picture.ThumbnailStats{Made: 5, Shared: 6, Failed: 7, Refused: 8}
		},
		Pictures: func() (int, picture.Stats) {
			return 1, picture.Stats{Frames: 50, Dropped: 4, Damaged: 3, Restarts: 2, CPU: 0.25}
		},
	}
}

func TestMetrics(t *testing.T) {
	h, err := New(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	text := scrape(t, h)
	want := []string{
		`transponder_audit_lines_dropped_total 152`,
		`transponder_audit_lines_failed_total 153`,
		`transponder_audit_lines_total 151`,
		`transponder_cluster_calls_served_total{result="done"} 216`,
		`transponder_cluster_calls_served_total{result="repeated"} 6`,
		`transponder_cluster_calls_total{result="answered"} 215`,
		`transponder_cluster_calls_total{result="unheard"} 5`,
		`transponder_cluster_claims_total{result="created"} 251`,
		`transponder_cluster_claims_total{result="failed"} 255`,
		`transponder_cluster_claims_total{result="isolated"} 254`,
		`transponder_cluster_claims_total{result="refused"} 253`,
		`transponder_cluster_claims_total{result="taken"} 252`,
		`transponder_cluster_clock_skew_seconds -9`,
		`transponder_cluster_drain_remaining_seconds 12`,
		`transponder_cluster_ends_waiting 252`,
		`transponder_cluster_epoch_conflicts_total 256`,
		`transponder_cluster_event_failures_total 242`,
		`transponder_cluster_events_lag_seconds 8`,
		`transponder_cluster_events_received_total 244`,
		`transponder_cluster_events_total{result="lost"} 243`,
		`transponder_cluster_events_total{result="sent"} 241`,
		`transponder_cluster_events_waiting 245`,
		`transponder_cluster_gate_closed_seconds_total 7`,
		`transponder_cluster_history_lost_total 247`,
		`transponder_cluster_history_waiting 246`,
		`transponder_cluster_isolated 1`,
		`transponder_cluster_isolations_total 206`,
		`transponder_cluster_lease_remaining_seconds 2`,
		`transponder_cluster_name_conflicts_total 215`,
		`transponder_cluster_names{state="known"} 214`,
		`transponder_cluster_names{state="provisional"} 3`,
		`transponder_cluster_nodes 201`,
		`transponder_cluster_relay_bytes_total{direction="in"} 234`,
		`transponder_cluster_relay_bytes_total{direction="out"} 238`,
		`transponder_cluster_relays{direction="in"} 231`,
		`transponder_cluster_relays{direction="out"} 235`,
		`transponder_cluster_relays_total{direction="in",result="failed"} 233`,
		`transponder_cluster_relays_total{direction="in",result="opened"} 232`,
		`transponder_cluster_relays_total{direction="out",result="failed"} 237`,
		`transponder_cluster_relays_total{direction="out",result="opened"} 236`,
		`transponder_cluster_renew_seconds 3`,
		`transponder_cluster_renewals_total{result="failed"} 205`,
		`transponder_cluster_renewals_total{result="held"} 204`,
		`transponder_cluster_request_seconds_bucket{le="0.001"} 200`,
		`transponder_cluster_request_seconds_bucket{le="0.003"} 210`,
		`transponder_cluster_request_seconds_bucket{le="0.01"} 210`,
		`transponder_cluster_request_seconds_bucket{le="0.03"} 210`,
		`transponder_cluster_request_seconds_bucket{le="0.1"} 210`,
		`transponder_cluster_request_seconds_bucket{le="0.3"} 210`,
		`transponder_cluster_request_seconds_bucket{le="1"} 210`,
		`transponder_cluster_request_seconds_bucket{le="2"} 211`,
		`transponder_cluster_request_seconds_bucket{le="+Inf"} 212`,
		`transponder_cluster_request_seconds_sum 11`,
		`transponder_cluster_request_seconds_count 212`,
		`transponder_cluster_requests_answered_total{result="answered"} 209`,
		`transponder_cluster_requests_answered_total{result="busy"} 4`,
		`transponder_cluster_requests_total{result="answered",verb="has"} 210`,
		`transponder_cluster_requests_total{result="timeout",verb="http"} 2`,
		`transponder_cluster_shared_records 248`,
		`transponder_cluster_shared_refused_total 249`,
		`transponder_cluster_shared_rereads_total 251`,
		`transponder_cluster_shared_stale 1`,
		`transponder_cluster_watch_rebuilds_total 208`,
		`transponder_draining 1`,
		`transponder_hook_backend_down{app="defaultApp"} 1`,
		`transponder_hook_duration_seconds_bucket{app="defaultApp",le="0.05"} 94`,
		`transponder_hook_duration_seconds_bucket{app="defaultApp",le="+Inf"} 95`,
		`transponder_hook_duration_seconds_sum{app="defaultApp"} 9.5`,
		`transponder_hook_duration_seconds_count{app="defaultApp"} 95`,
		`transponder_hook_events_lost_total{app="defaultApp"} 97`,
		`transponder_hook_refusals_ignored_total{app="defaultApp"} 96`,
		`transponder_hook_requests_total{app="defaultApp",method="connect",result="refused"} 91`,
		`transponder_hook_requests_under_way{app="defaultApp"} 92`,
		`transponder_hook_requests_waiting{app="defaultApp"} 93`,
		`transponder_ice_restarts_total{door="whip",result="done"} 17`,
		`transponder_ice_restarts_total{door="whip",result="limited"} 18`,
		`transponder_ice_restarts_total{door="whip",result="refused"} 19`,
		`transponder_leases 49`,
		`transponder_limit{of="pushes"} 500`,
		`transponder_load_allowed_cores 1.75`,
		`transponder_load_cores 1.5`,
		`transponder_load_refused_total 248`,
		`transponder_load_stream_cores 0.25`,
		`transponder_logins_total{outcome="right"} 156`,
		`transponder_logins_total{outcome="too many"} 158`,
		`transponder_logins_total{outcome="wrong"} 157`,
		`transponder_media_datagrams_lost_total{reason="refused"} 11`,
		`transponder_over_limit_total{of="players"} 50`,
		`transponder_pictures_damaged_total 3`,
		`transponder_pictures_dropped_total 4`,
		`transponder_pictures_transcoded_total 50`,
		`transponder_players 7`,
		`transponder_publisher_broken_pictures_total{stream="cam"} 67`,
		`transponder_publisher_broken_pictures_total{stream="new"} 0`,
		`transponder_publisher_bytes_total{stream="cam"} 61`,
		`transponder_publisher_bytes_total{stream="new"} 0`,
		`transponder_publisher_clock_jumps_total{stream="cam"} 68`,
		`transponder_publisher_clock_jumps_total{stream="new"} 0`,
		`transponder_publisher_jitter_seconds{stream="cam"} 0.005`,
		`transponder_publisher_nacks_total{stream="cam"} 65`,
		`transponder_publisher_nacks_total{stream="new"} 0`,
		`transponder_publisher_packet_faults_total{fault="duplicate",stream="cam"} 64`,
		`transponder_publisher_packet_faults_total{fault="duplicate",stream="new"} 0`,
		`transponder_publisher_packet_faults_total{fault="late",stream="cam"} 63`,
		`transponder_publisher_packet_faults_total{fault="late",stream="new"} 0`,
		`transponder_publisher_packet_faults_total{fault="lost",stream="cam"} 62`,
		`transponder_publisher_packet_faults_total{fault="lost",stream="new"} 0`,
		`transponder_publisher_packets_total{stream="cam"} 60`,
		`transponder_publisher_packets_total{stream="new"} 0`,
		`transponder_publisher_plis_total{stream="cam"} 66`,
		`transponder_publisher_plis_total{stream="new"} 0`,
		`transponder_publisher_round_trip_seconds{stream="cam"} 0.04`,
		`transponder_publishers{receiver="lean"} 8`,
		`transponder_publishers{receiver="peer"} 2`,
		`transponder_push_acked_bytes_total{push="p1",stream="cam"} 900`,
		`transponder_push_acked_bytes_total{push="p2",stream="cam"} 0`,
		`transponder_push_address_connects_total{address="1",push="p2",stream="cam"} 62`,
		`transponder_push_address_connects_total{address="2",push="p2",stream="cam"} 64`,
		`transponder_push_address_connects_total{address="3",push="p2",stream="cam"} 0`,
		`transponder_push_address_sent_bytes_total{address="1",push="p2",stream="cam"} 61`,
		`transponder_push_address_sent_bytes_total{address="2",push="p2",stream="cam"} 63`,
		`transponder_push_address_sent_bytes_total{address="3",push="p2",stream="cam"} 0`,
		`transponder_push_address_up{address="1",push="p2",stream="cam"} 1`,
		`transponder_push_address_up{address="2",push="p2",stream="cam"} 0`,
		`transponder_push_address_up{address="3",push="p2",stream="cam"} 0`,
		`transponder_push_av_offset_seconds{push="p1",stream="cam"} -0.02`,
		`transponder_push_dropped_bytes_total{push="p1",stream="cam"} 80`,
		`transponder_push_dropped_bytes_total{push="p2",stream="cam"} 0`,
		`transponder_push_dropped_frames_total{cause="full",push="p1",stream="cam"} 1`,
		`transponder_push_dropped_frames_total{cause="full",push="p2",stream="cam"} 0`,
		`transponder_push_dropped_frames_total{cause="late",push="p1",stream="cam"} 1`,
		`transponder_push_dropped_frames_total{cause="late",push="p2",stream="cam"} 0`,
		`transponder_push_dropped_frames_total{cause="transcoder",push="p1",stream="cam"} 5`,
		`transponder_push_dropped_frames_total{cause="transcoder",push="p2",stream="cam"} 0`,
		`transponder_push_dropped_seconds_total{kind="audio",push="p1",stream="cam"} 0.25`,
		`transponder_push_dropped_seconds_total{kind="audio",push="p2",stream="cam"} 0`,
		`transponder_push_dropped_seconds_total{kind="video",push="p1",stream="cam"} 0.5`,
		`transponder_push_dropped_seconds_total{kind="video",push="p2",stream="cam"} 0`,
		`transponder_push_frames_total{kind="audio",push="p1",stream="cam"} 47`,
		`transponder_push_frames_total{kind="audio",push="p2",stream="cam"} 0`,
		`transponder_push_frames_total{kind="video",push="p1",stream="cam"} 30`,
		`transponder_push_frames_total{kind="video",push="p2",stream="cam"} 0`,
		`transponder_push_hook_events_total{outcome="dead"} 1`,
		`transponder_push_hook_events_total{outcome="delivered"} 9`,
		`transponder_push_hook_retries_total 4`,
		`transponder_push_info{destination="",host="",push="p2",stream="cam"} 1`,
		`transponder_push_info{destination="fb",host="h:1936",push="p1",stream="cam"} 1`,
		`transponder_push_live_after_seconds{push="p1",stream="cam"} 1.5`,
		`transponder_push_queue_bytes{push="p1",stream="cam"} 4000`,
		`transponder_push_queue_bytes{push="p2",stream="cam"} 0`,
		`transponder_push_queue_seconds{push="p1",stream="cam"} 0.04`,
		`transponder_push_queue_seconds{push="p2",stream="cam"} 0`,
		`transponder_push_reconnects_total{push="p1",stream="cam"} 2`,
		`transponder_push_reconnects_total{push="p2",stream="cam"} 0`,
		`transponder_push_resume_seconds_total 6`,
		`transponder_push_resumes_total{result="ended"} 244`,
		`transponder_push_resumes_total{result="expired"} 243`,
		`transponder_push_resumes_total{result="failed"} 245`,
		`transponder_push_resumes_total{result="live"} 242`,
		`transponder_push_retransmitted_segments_total{push="p1",stream="cam"} 6`,
		`transponder_push_retransmitted_segments_total{push="p2",stream="cam"} 0`,
		`transponder_push_round_trip_seconds{push="p1",stream="cam"} 0.03`,
		`transponder_push_sent_bytes_total{push="p1",stream="cam"} 1000`,
		`transponder_push_sent_bytes_total{push="p2",stream="cam"} 0`,
		`transponder_push_source_switches_total{cause="lost"} 13`,
		`transponder_push_state{push="p1",reason="",state="publishing",stream="cam"} 1`,
		`transponder_push_state{push="p2",reason="source_no_media",state="starting",stream="cam"} 1`,
		`transponder_pushes{state="awaiting"} 0`,
		`transponder_pushes{state="connecting"} 0`,
		`transponder_pushes{state="degraded"} 0`,
		`transponder_pushes{state="draining"} 0`,
		`transponder_pushes{state="ended"} 0`,
		`transponder_pushes{state="failed"} 0`,
		`transponder_pushes{state="holding"} 0`,
		`transponder_pushes{state="publishing"} 1`,
		`transponder_pushes{state="reconnecting"} 0`,
		`transponder_pushes{state="starting"} 1`,
		`transponder_pushes_delay_seconds_bucket{le="0.05"} 2`,
		`transponder_pushes_delay_seconds_bucket{le="0.1"} 2`,
		`transponder_pushes_delay_seconds_bucket{le="0.25"} 2`,
		`transponder_pushes_delay_seconds_bucket{le="0.5"} 2`,
		`transponder_pushes_delay_seconds_bucket{le="1"} 5`,
		`transponder_pushes_delay_seconds_bucket{le="2"} 6`,
		`transponder_pushes_delay_seconds_bucket{le="3"} 6`,
		`transponder_pushes_delay_seconds_bucket{le="5"} 6`,
		`transponder_pushes_delay_seconds_bucket{le="10"} 6`,
		`transponder_pushes_delay_seconds_bucket{le="30"} 6`,
		`transponder_pushes_delay_seconds_bucket{le="+Inf"} 7`,
		`transponder_pushes_delay_seconds_sum 10`,
		`transponder_pushes_delay_seconds_count 7`,
		`transponder_pushes_ended_total{reason="auth_rejected",state="failed"} 246`,
		`transponder_pushes_live_after_seconds_bucket{le="0.05"} 0`,
		`transponder_pushes_live_after_seconds_bucket{le="0.1"} 0`,
		`transponder_pushes_live_after_seconds_bucket{le="0.25"} 0`,
		`transponder_pushes_live_after_seconds_bucket{le="0.5"} 0`,
		`transponder_pushes_live_after_seconds_bucket{le="1"} 1`,
		`transponder_pushes_live_after_seconds_bucket{le="2"} 3`,
		`transponder_pushes_live_after_seconds_bucket{le="3"} 3`,
		`transponder_pushes_live_after_seconds_bucket{le="5"} 3`,
		`transponder_pushes_live_after_seconds_bucket{le="10"} 3`,
		`transponder_pushes_live_after_seconds_bucket{le="30"} 3`,
		`transponder_pushes_live_after_seconds_bucket{le="+Inf"} 4`,
		`transponder_pushes_live_after_seconds_sum 9`,
		`transponder_pushes_live_after_seconds_count 4`,
		`transponder_pushes_not_durable 1`,
		`transponder_pushes_on_backup 1`,
		`transponder_renditions{kind="audio"} 2`,
		`transponder_renditions{kind="video"} 1`,
		`transponder_rtmp_bad_messages_total 47`,
		`transponder_rtmp_clock_jumps_total 48`,
		`transponder_rtmp_connections 6`,
		`transponder_rtmp_connections_total{outcome="accepted"} 43`,
		`transponder_rtmp_connections_total{outcome="rejected"} 44`,
		`transponder_rtmp_player_dropped_frames_total 50`,
		`transponder_rtmp_players 42`,
		`transponder_rtmp_publishers 41`,
		`transponder_rtmp_refused_total 45`,
		`transponder_rtmp_slow_players_total 49`,
		`transponder_rtmp_strangers_total 46`,
		`transponder_session_panics_total{part="push"} 12`,
		`transponder_session_panics_total{part="rtmp"} 51`,
		`transponder_session_panics_total{part="sip"} 85`,
		`transponder_session_panics_total{part="websocket"} 31`,
		`transponder_sip_calls{status="ESTABLISHED"} 2`,
		`transponder_sip_calls{status="HOLD"} 0`,
		`transponder_sip_calls{status="PENDING"} 0`,
		`transponder_sip_calls{status="RING"} 1`,
		`transponder_sip_calls{status="RING_MEDIA"} 0`,
		`transponder_sip_calls{status="SESSION_PROGRESS"} 0`,
		`transponder_sip_calls{status="TRYING"} 0`,
		`transponder_sip_calls_ended_total{reason="busy"} 74`,
		`transponder_sip_calls_ended_total{reason="hung_up"} 75`,
		`transponder_sip_calls_refused_total{cause="policy"} 76`,
		`transponder_sip_calls_started_total{direction="in"} 73`,
		`transponder_sip_calls_started_total{direction="out"} 72`,
		`transponder_sip_key_frame_requests_total{way="info"} 83`,
		`transponder_sip_key_frame_requests_total{way="pli"} 82`,
		`transponder_sip_messages_dropped_total{cause="rate"} 84`,
		`transponder_sip_packets_lost_total 80`,
		`transponder_sip_packets_refused_total{cause="stranger"} 81`,
		`transponder_sip_packets_total 79`,
		`transponder_sip_registers_total{outcome="accepted"} 77`,
		`transponder_sip_registers_total{outcome="failed"} 78`,
		`transponder_sip_registrations{state="up"} 2`,
		`transponder_sip_registrations{state="wanted"} 3`,
		`transponder_snapshots_total{outcome="failed"} 7`,
		`transponder_snapshots_total{outcome="made"} 5`,
		`transponder_snapshots_total{outcome="refused"} 8`,
		`transponder_snapshots_total{outcome="shared"} 6`,
		`transponder_sound_corrected_seconds_total{how="concealed"} 1`,
		`transponder_sound_corrected_seconds_total{how="inserted"} 0.01`,
		`transponder_sound_corrected_seconds_total{how="removed"} 0.02`,
		`transponder_sound_corrected_seconds_total{how="trimmed"} 2`,
		`transponder_sound_encoder_changes_total 8`,
		`transponder_sound_errors_total 3`,
		`transponder_sound_file_bytes 500`,
		`transponder_sound_file_errors_total 2`,
		`transponder_sound_file_packets_total 71`,
		`transponder_sound_file_starved_packets_total 7`,
		`transponder_sound_files_kept 3`,
		`transponder_sound_files_playing 1`,
		`transponder_sound_frames_total{coded="full"} 30`,
		`transponder_sound_frames_total{coded="mono"} 50`,
		`transponder_sound_frames_total{coded="silent"} 20`,
		`transponder_sound_packets_total{direction="in"} 70`,
		`transponder_sound_packets_total{direction="out"} 110`,
		`transponder_sound_silence_seconds_total 0.5`,
		`transponder_standby_promotions_total 15`,
		`transponder_standby_publishers 16`,
		`transponder_state_bytes 241`,
		`transponder_state_damaged_records 43`,
		`transponder_state_failing 1`,
		`transponder_state_set_aside 1`,
		`transponder_state_write_seconds_bucket{le="0.001"} 1`,
		`transponder_state_write_seconds_bucket{le="0.003"} 3`,
		`transponder_state_write_seconds_bucket{le="0.01"} 6`,
		`transponder_state_write_seconds_bucket{le="0.03"} 10`,
		`transponder_state_write_seconds_bucket{le="0.1"} 15`,
		`transponder_state_write_seconds_bucket{le="0.3"} 21`,
		`transponder_state_write_seconds_bucket{le="1"} 28`,
		`transponder_state_write_seconds_bucket{le="3"} 36`,
		`transponder_state_write_seconds_bucket{le="+Inf"} 45`,
		`transponder_state_write_seconds_sum 5`,
		`transponder_state_write_seconds_count 45`,
		`transponder_state_writes_total{outcome="failed"} 42`,
		`transponder_state_writes_total{outcome="written"} 41`,
		`transponder_stored_keys 46`,
		`transponder_stream_bytes_total{kind="audio",stream="cam"} 7`,
		`transponder_stream_bytes_total{kind="video",stream="cam"} 150`,
		`transponder_stream_clock_drift_ratio{stream="cam"} -5e-05`,
		`transponder_stream_faults_total{fault="malformed",kind="video",stream="cam"} 2`,
		`transponder_stream_faults_total{fault="no_config",kind="audio",stream="cam"} 1`,
		`transponder_stream_frames_total{kind="audio",stream="cam"} 1`,
		`transponder_stream_frames_total{kind="video",stream="cam"} 2`,
		`transponder_stream_key_frame_interval_seconds{stream="cam"} 1.5`,
		`transponder_stream_key_frame_requests_total{stream="cam"} 1`,
		`transponder_stream_key_frames_total{stream="cam"} 2`,
		`transponder_stream_readers{kind="audio",stream="cam"} 0`,
		`transponder_stream_readers{kind="video",stream="cam"} 0`,
		`transponder_stream_sound_hold_seconds{stream="cam"} 0.12`,
		`transponder_streams{state="live"} 1`,
		`transponder_streams{state="pending"} 0`,
		`transponder_takeovers_total 14`,
		`transponder_tls_acme_orders_total{result="failed"} 258`,
		`transponder_tls_acme_orders_total{result="issued"} 257`,
		`transponder_tls_certificate_files_total{result="loaded"} 249`,
		`transponder_tls_certificate_files_total{result="refused"} 250`,
		`transponder_tls_certificate_not_after_seconds{name="live.example.com"} 1.9e+09`,
		`transponder_token_revocations 47`,
		`transponder_token_signers 48`,
		`transponder_token_signers_stale 1`,
		`transponder_tokens_accepted_total 44`,
		`transponder_tokens_refused_total{reason="expired"} 45`,
		`transponder_trace_spans_queued 263`,
		`transponder_trace_spans_total{result="dropped"} 261`,
		`transponder_trace_spans_total{result="failed"} 262`,
		`transponder_trace_spans_total{result="sent"} 260`,
		`transponder_transcoder_cores 0.25`,
		`transponder_transcoder_restarts_total 2`,
		`transponder_turned_away_total{door="http",reason="share"} 259`,
		`transponder_user_sessions 155`,
		`transponder_users{role="viewer"} 154`,
		`transponder_websocket_call_outcomes_total{outcome="established"} 39`,
		`transponder_websocket_call_outcomes_total{outcome="failed"} 40`,
		`transponder_websocket_calls 36`,
		`transponder_websocket_calls_total{direction="in"} 38`,
		`transponder_websocket_calls_total{direction="out"} 37`,
		`transponder_websocket_messages_ignored_total 27`,
		`transponder_websocket_messages_total{direction="received"} 25`,
		`transponder_websocket_messages_total{direction="sent"} 26`,
		`transponder_websocket_players 23`,
		`transponder_websocket_plays_total{outcome="failed"} 35`,
		`transponder_websocket_plays_total{outcome="played"} 34`,
		`transponder_websocket_publishers 22`,
		`transponder_websocket_publishes_total{outcome="failed"} 33`,
		`transponder_websocket_publishes_total{outcome="published"} 32`,
		`transponder_websocket_sessions_kept 21`,
		`transponder_websockets 5`,
		`transponder_websockets_accepted_total 24`,
		`transponder_websockets_closed_total{reason="flood"} 28`,
		`transponder_websockets_closed_total{reason="silent"} 30`,
		`transponder_websockets_closed_total{reason="slow"} 29`,
	}
	if got := ours(text); !slices.Equal(got, want) {
		t.Errorf("figures =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the figures hold a secret")
	}
	for _, others := range []string{"\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if !strings.Contains(text, others) {
			t.Errorf("%q is missing", strings.TrimSpace(others))
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "transponder_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestNothingToShow checks that nil functions are left out.
func TestNothingToShow(t *testing.T) {
	h, err := New(Parts{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ours(scrape(t, h)); len(got) > 0 {
		t.Errorf("figures = %q, want none", got)
	}
}

func TestHealth(t *testing.T) {
	tests := []struct {
		name    string
		handler http.Handler
		status  int
		body    string
	}{
		{"live", Live(), 200, "live\n"},
		{"ready", Ready(func() error { return nil }, func() string { return "" }), 200, "ready\n"},
		{"ready, with a note", Ready(func() error { return nil }, func() string { return "1 of 2 up" }), 200, "ready\n1 of 2 up\n"},
		{"not ready", Ready(func() error { return errors.New("the server is stopping") }, func() string { return "1 of 2 up" }), 503, "the server is stopping\n"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		tt.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health/x", nil))
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s = %d %q, want %d %q", tt.name, w.Code, w.Body, tt.status, tt.body)
		}
	}
}
