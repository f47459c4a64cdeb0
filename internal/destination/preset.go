package destination

import "slices"

// Preset is what is known of a platform.
type Preset struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Server string `json:"server,omitempty"` // the key is appended to it after a slash; "": each account has a server of its own
	Backup string `json:"backup,omitempty"` // a second server, for another push of the same stream with the same key
	KeyURL string `json:"keyUrl,omitempty"` // where people find the key

	KeyFrameSeconds int      `json:"keyFrameSeconds,omitempty"` // the longest time between key frames that the platform recommends
	MaxVideoKbps    int      `json:"maxVideoKbps,omitempty"`
	MaxAudioKbps    int      `json:"maxAudioKbps,omitempty"`
	Codecs          []string `json:"codecs"` // that options.codecs of a push may name besides H.264
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

// URL returns the address of a stream key at the platform. ok is false if the platform has no common server.
func (p Preset) URL(key string) (url string, ok bool) {
	if p.Server == "" || key == "" {
		return "", false
	}
	return p.Server + "/" + key, true
}

// presets are what the platforms publish, and what encoders have in their lists.
var presets = []Preset{
	{
		ID: "youtube", Name: "YouTube", Server: "rtmps://a.rtmps.youtube.com:443/live2", Backup: "rtmps://b.rtmps.youtube.com:443/live2?backup=1",
		KeyURL: "https://www.youtube.com/live_dashboard", KeyFrameSeconds: 2, MaxVideoKbps: 51000, MaxAudioKbps: 160, Codecs: []string{"hevc", "av1"},
	},
	{
		ID: "twitch", Name: "Twitch", Server: "rtmps://ingest.global-contribute.live-video.net:443/app",
		KeyURL: "https://dashboard.twitch.tv/settings/stream", KeyFrameSeconds: 2, MaxVideoKbps: 6000, MaxAudioKbps: 320, Codecs: []string{},
	},
	{
		ID: "facebook", Name: "Facebook Live", Server: "rtmps://rtmp-api.facebook.com:443/rtmp",
		KeyURL: "https://www.facebook.com/live/producer", KeyFrameSeconds: 2, MaxVideoKbps: 9000, MaxAudioKbps: 128, Codecs: []string{},
	},
	{
		ID: "vimeo", Name: "Vimeo", Server: "rtmps://rtmp-global.cloud.vimeo.com:443/live", KeyFrameSeconds: 2, MaxVideoKbps: 20000, Codecs: []string{},
	},
	{
		ID: "restream", Name: "Restream", Server: "rtmp://live.restream.io/live", KeyURL: "https://restream.io/settings/streaming-setup",
		KeyFrameSeconds: 2, Codecs: []string{},
	},
	{ID: "cloudflare", Name: "Cloudflare Stream", Server: "rtmps://live.cloudflare.com:443/live", KeyFrameSeconds: 2, Codecs: []string{}},
	{ID: "mux", Name: "Mux", Server: "rtmps://global-live.mux.com:443/app", KeyFrameSeconds: 2, Codecs: []string{}},
	{ID: "ivs", Name: "Amazon IVS", KeyFrameSeconds: 2, MaxVideoKbps: 8500, MaxAudioKbps: 320, Codecs: []string{}},
	{ID: "kick", Name: "Kick", KeyFrameSeconds: 2, MaxVideoKbps: 8000, MaxAudioKbps: 320, Codecs: []string{}},
	{ID: "custom", Name: "Another server", Codecs: []string{}},
}
