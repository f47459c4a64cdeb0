package destination

import (
	"slices"
	"strings"
)

// Preset is what is known of a platform.
type Preset struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Server string `json:"server,omitempty"` // the key is appended to it after a slash; "": each account has a server of its own
	Backup string `json:"backup,omitempty"` // a second server, for another push of the same stream with the same key
	KeyURL string `json:"keyUrl,omitempty"` // where people find the key

	// What the platform publishes about the streams that it takes, at Limits. A zero says nothing.
	KeyFrameSeconds int      `json:"keyFrameSeconds,omitempty"` // the time between key frames that the platform recommends
	MaxVideoKbps    int      `json:"maxVideoKbps,omitempty"`
	MaxAudioKbps    int      `json:"maxAudioKbps,omitempty"`
	MaxWidth        int      `json:"maxWidth,omitempty"` // of pictures that are wider than high; the other way round it is their height
	MaxHeight       int      `json:"maxHeight,omitempty"`
	MaxFPS          int      `json:"maxFps,omitempty"`
	SampleRates     []int    `json:"sampleRates,omitempty"` // of sound, in Hz
	NeedsSound      bool     `json:"needsSound,omitempty"`
	NoBFrames       bool     `json:"noBFrames,omitempty"`
	Baseline        bool     `json:"baseline,omitempty"` // the platform takes only the Baseline profile of H.264
	Codecs          []string `json:"codecs"`             // that options.codecs of a push may name besides H.264
	Limits          string   `json:"limits,omitempty"`   // the page of the platform with these limits

	hosts []string // names of the platform's servers; with a leading dot: all names that end so
}

// Presets are the platforms, by ID.
func Presets() []Preset { return slices.Clone(presets) }

// PresetByID returns a platform.
func PresetByID(id string) (Preset, bool) {
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.ID == id })
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// PresetOf returns the platform to which a host belongs.
func PresetOf(host string) (Preset, bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	i := slices.IndexFunc(presets, func(p Preset) bool {
		return slices.ContainsFunc(p.hosts, func(name string) bool {
			return name == host || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name)
		})
	})
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// URL returns the address of a stream key at the platform. ok is false if the platform has no common server.
func (p Preset) URL(key string) (url string, ok bool) {
	if p.Server == "" || key == "" {
		return "", false
	}
	return p.Server + "/" + key, true
}

// bothRates are the sampling rates that most platforms name.
var bothRates = []int{44100, 48000}

// presets are what the platforms publish, and what encoders have in their lists. PresetOf takes the first whose hosts match: Twitch, Kick and
// Amazon IVS share a domain.
var presets = []Preset{
	{
		ID: "youtube", Name: "YouTube", Server: "rtmps://a.rtmps.youtube.com:443/live2", Backup: "rtmps://b.rtmps.youtube.com:443/live2?backup=1",
		KeyURL: "https://www.youtube.com/live_dashboard", KeyFrameSeconds: 2, MaxVideoKbps: 51000, MaxAudioKbps: 160, MaxWidth: 3840, MaxHeight: 2160, MaxFPS: 60,
		NeedsSound: true, Codecs: []string{"hevc", "av1"}, Limits: "https://support.google.com/youtube/answer/2853702",
		hosts: []string{".rtmps.youtube.com", ".rtmp.youtube.com"},
	},
	{
		ID: "twitch", Name: "Twitch", Server: "rtmps://ingest.global-contribute.live-video.net:443/app",
		KeyURL: "https://dashboard.twitch.tv/settings/stream", KeyFrameSeconds: 2, MaxVideoKbps: 6000, MaxAudioKbps: 320, MaxWidth: 1920, MaxHeight: 1080, MaxFPS: 60,
		SampleRates: bothRates, Codecs: []string{}, Limits: "https://www.twitch.tv/creatorcamp/en/paths/going-live/broadcast-recommendations/",
		hosts: []string{"ingest.global-contribute.live-video.net", "live.twitch.tv", ".contribute.live-video.net"},
	},
	{
		ID: "facebook", Name: "Facebook Live", Server: "rtmps://rtmp-api.facebook.com:443/rtmp",
		KeyURL: "https://www.facebook.com/live/producer", KeyFrameSeconds: 2, MaxVideoKbps: 9000, MaxAudioKbps: 256, MaxWidth: 1920, MaxHeight: 1080, MaxFPS: 60,
		SampleRates: bothRates, NeedsSound: true, Codecs: []string{}, Limits: "https://developers.facebook.com/docs/live-video-api/reference",
		hosts: []string{"rtmp-api.facebook.com", "live-api-s.facebook.com"},
	},
	{
		ID: "vimeo", Name: "Vimeo", Server: "rtmps://rtmp-global.cloud.vimeo.com:443/live", KeyFrameSeconds: 2, MaxVideoKbps: 20000, Codecs: []string{},
		hosts: []string{".cloud.vimeo.com"},
	},
	{
		ID: "restream", Name: "Restream", Server: "rtmp://live.restream.io/live", KeyURL: "https://restream.io/settings/streaming-setup",
		KeyFrameSeconds: 2, Codecs: []string{}, hosts: []string{".restream.io"},
	},
	{
		ID: "cloudflare", Name: "Cloudflare Stream", Server: "rtmps://live.cloudflare.com:443/live", KeyFrameSeconds: 2, Codecs: []string{},
		hosts: []string{"live.cloudflare.com"},
	},
	{
		ID: "mux", Name: "Mux", Server: "rtmps://global-live.mux.com:443/app", KeyFrameSeconds: 2, Codecs: []string{},
		hosts: []string{"global-live.mux.com", ".live.mux.com"},
	},
	{
		ID: "ivs", Name: "Amazon IVS", KeyFrameSeconds: 2, MaxVideoKbps: 8500, MaxAudioKbps: 320, MaxWidth: 1920, MaxHeight: 1080, MaxFPS: 60, Codecs: []string{},
		Limits: "https://docs.aws.amazon.com/ivs/latest/LowLatencyUserGuide/streaming-config.html", hosts: []string{".global-contribute.live-video.net"},
	},
	{ // its servers have names of the same form as those of ivs
		ID: "ivs-stage", Name: "Amazon IVS stage (real time)", KeyFrameSeconds: 2, MaxVideoKbps: 8500, MaxAudioKbps: 160, MaxWidth: 1280, MaxHeight: 720, MaxFPS: 60,
		SampleRates: bothRates, NoBFrames: true, Baseline: true, Codecs: []string{},
		Limits: "https://docs.aws.amazon.com/ivs/latest/RealTimeUserGuide/rt-stream-ingest.html",
	},
	{ID: "kick", Name: "Kick", KeyFrameSeconds: 2, MaxVideoKbps: 8000, MaxAudioKbps: 320, Codecs: []string{}},
	{ID: "custom", Name: "Another server", Codecs: []string{}},
}
