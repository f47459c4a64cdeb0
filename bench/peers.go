package main

// row is one server's figures at one number of streams. A figure that was not measured is negative.
type row struct {
	name                string
	streams             int
	cores, megabytes    float64 // a stream
	p50, p99            float64 // ms, from a frame's last packet to its whole RTMP message
	lost, sent          int     // frames, over the window
	firstP50, firstMost float64 // ms, from the WHIP answer to the first coded video message
	others              float64 // cores that other programs used in the window
}

const unknown = -1

// peers were measured by this bench on 22 Nov 2026: 2 vCPU AMD EPYC (Firecracker guest, kernel 6.18), Debian 12, loopback
// only, 20 s a row, one run a row. All make AAC from Opus and leave video as it is, except MediaMTX forward, which makes no
// AAC. Their configurations and all caveats are in README.md.
var peers = []row{
	{"SRS 7.0.18", 1, 0.025, 23.6, 251, 493, 0, 600, 2306, 2306, 0.04},
	{"SRS 7.0.18", 10, 0.0190, 6.4, 249, 493, 0, 6010, 2304, 2315, 0.11},
	{"SRS 7.0.18", 25, 0.0180, 5.2, 249, 496, 0, 15022, 2306, 2325, 0.06},
	{"SRS 7.0.18", 50, 0.0182, 4.9, 291, 617, 991, 30077, 2306, 2377, 0.07},
	{"MediaMTX 1.20.1, ffmpeg hook", 1, 0.091, 100, 66, 97, 0, 600, 3143, 3143, 0.92},
	{"MediaMTX 1.20.1, ffmpeg hook", 10, 0.067, 23.4, 67, 98, 0, 6014, 3176, 3230, 0.22},
	{"MediaMTX 1.20.1, ffmpeg hook", 25, 0.042, 18.5, 759, 1400, 1529, 15025, 4212, 8173, 0.08},
	{"same, 4 MiB UDP buffer", 10, 0.070, 23.6, 67, 97, 0, 6007, 3171, 3191, 0.09},
	{"same, 4 MiB UDP buffer", 25, 0.056, 18.4, 69, 164, 0, 15112, 4125, 6383, 0.10},
	{"same, 4 MiB UDP buffer", 50, unknown, 18.4, 824, 1948, 8566, 32696, 10011, 14516, 0.06},
	{"MediaMTX forward (no AAC)", 1, 0.037, 46.8, 0.3, 2.9, 0, 600, 2011, 2011, 0.36},
	{"MediaMTX forward (no AAC)", 10, 0.0190, 6.1, 0.3, 2.5, 0, 6002, 2010, 2100, 0.00},
	{"MediaMTX forward (no AAC)", 25, 0.0152, 3.4, 0.3, 4.8, 0, 15023, 2018, 2347, 0.00},
	{"MediaMTX forward (no AAC)", 50, 0.0119, 2.8, 0.7, 289, 4266, 30283, 2021, 3011, 0.09},
	{"go2rtc 1.9.14", 1, 0.088, 38.7, unknown, unknown, 0, 600, 345, 345, 0.35},
	{"go2rtc 1.9.14", 10, 0.050, 19.6, unknown, unknown, 0, 6006, 983, 1149, 0.05},
	{"go2rtc 1.9.14", 25, 0.047, 16.1, unknown, unknown, 64, 15115, 2497, 3063, 0.24},
	{"GStreamer 1.22 webrtcbin", 1, 0.081, 82.8, 13, 47, 0, 600, 282, 282, 0.05},
	{"GStreamer 1.22 webrtcbin", 10, 0.069, 12.2, 12, 47, 0, 6003, 332, 373, 0.01},
	{"GStreamer 1.22 webrtcbin", 25, 0.055, 7.3, 11, 48, 0, 15078, 444, 554, 0.02},
}

// targets are the figures that our server should reach, by the number of streams. mono is the target in cores if each stream has one
// microphone.
var targets = []struct {
	row
	mono float64
}{
	{target(25, 0.018, 2.5, 0.5, 5, 100), 0.013},
	{target(50, 0.015, 2.2, 0.5, 8, 120), 0.011},
	{target(100, 0.014, 2.0, 1, 15, 150), 0.010},
}

func target(streams int, cores, megabytes, p50, p99, firstP50 float64) row {
	return row{"target", streams, cores, megabytes, p50, p99, 0, unknown, firstP50, unknown, unknown}
}

const targetSkewMS = 10 // either way

// soundRow holds the results of bench lipsync for one stream.
type soundRow struct {
	name                   string
	skew, skewMin, skewMax float64 // ms that audio is after video: median and range
	latency                float64 // ms, median
}

var peersSound = []soundRow{
	{"MediaMTX 1.20.1, ffmpeg hook", 0.7, 0.3, 1.0, 56},
	{"GStreamer 1.22 webrtcbin", 33, 22, 68, 61},
	{"SRS 7.0.18", 58, 48, 64, 117},
}
