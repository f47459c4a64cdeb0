package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/magiconair/properties"
)

// Sources are the places that settings come from, weakest first: the file, the environment, the command line.
type Sources struct {
	File    string   // path of a settings file; "" for none
	Environ []string // as os.Environ gives it
	Set     []string // key=value
}

// envPrefix begins the environment variables that are settings: TRANSPONDER_HTTP_PORT is http.port.
const envPrefix = "TRANSPONDER_"

// Load returns the settings: the defaults, changed by each source in turn. warnings are for the log, one each: unknown keys
// with the nearest known one, and keys that are known but do nothing here. The error names every bad value with its place.
func Load(from Sources) (c Config, warnings []string, err error) {
	c = Default()
	l := loader{settings: c.settings()}
	if from.File != "" {
		l.file(from.File)
	}
	l.environ(from.Environ)
	for _, pair := range from.Set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			l.fault("--set "+pair, "must look like key=value")
			continue
		}
		l.apply("--set "+key, strings.TrimSpace(key), strings.TrimSpace(value))
	}
	if len(l.faults) == 0 {
		l.faults = append(l.faults, c.derive(), c.Validate())
	}
	return c, l.warnings, errors.Join(l.faults...)
}

// loader applies values to settings and gathers what is to be said about them.
type loader struct {
	settings []setting
	warnings []string
	faults   []error
}

func (l *loader) fault(place, reason string) {
	l.faults = append(l.faults, fmt.Errorf("%s: %s", place, reason))
}

// file reads a Java properties file, as the published contract's is.
func (l *loader) file(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("read settings: %w", err))
		return
	}
	read := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := read.LoadBytes(content)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: %w", path, err))
		return
	}
	for _, key := range p.Keys() {
		value, _ := p.Get(key)
		l.apply(fmt.Sprintf("%s:%d", path, lineOf(string(content), key)), key, strings.TrimSpace(value))
	}
}

// lineOf returns the last line that sets key, which is the one that counts.
func lineOf(content, key string) int {
	line := 0
	for n, text := range strings.Split(content, "\n") {
		text = strings.TrimLeft(text, " \t\f")
		after, ok := strings.CutPrefix(text, key)
		if ok && (after == "" || strings.ContainsRune("=: \t\f\r", rune(after[0]))) {
			line = n + 1
		}
	}
	return line
}

func (l *loader) environ(environ []string) {
	names := map[string]string{}
	for _, s := range l.settings {
		names[envName(s.key)] = s.key
	}
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		key, known := names[name]
		if !known {
			l.unknown("environment", name, nearest(name, envNames(l.settings)))
			continue
		}
		l.apply("environment "+name, key, value)
	}
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func envNames(settings []setting) []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = envName(s.key)
	}
	return names
}

func (l *loader) apply(place, key, value string) {
	i := slices.IndexFunc(l.settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		if why, accepted := withoutEffect[key]; accepted {
			l.warnings = append(l.warnings, fmt.Sprintf("%s: %s has no effect: %s", place, key, why))
			return
		}
		l.unknown(place, key, nearest(key, Keys()))
		return
	}
	if err := l.settings[i].set(value); err != nil {
		l.fault(place, key+" "+err.Error())
	}
}

func (l *loader) unknown(place, key, near string) {
	w := fmt.Sprintf("%s: unknown setting %s", place, key)
	if near != "" {
		w += ", did you mean " + near + "?"
	}
	l.warnings = append(l.warnings, w)
}

// notYet is said of what this version cannot do.
const notYet = "this version cannot do that"

// withoutEffect lists keys of the published contract that a settings file may hold and that this server has no use for, with
// what it does instead.
var withoutEffect = map[string]string{
	"disable_streaming_proxy":                notYet,
	"disable_rest_requests":                  notYet,
	"rest_request_timeout":                   notYet,
	"rest_max_connections":                   notYet,
	"rest_hook_send_hash":                    notYet,
	"rest_hook_secret_key":                   notYet,
	"keep_alive_streaming_sessions_enabled":  notYet,
	"streaming_sessions_keep_alive_interval": notYet,
	"streaming_sessions_keep_alive_app_keys": notYet,
	"stream_idle_bitrate_monitoring":         notYet,
	"rtp_activity_audio_exclude":             notYet,
	"rtp_activity_video_exclude":             notYet,
	"rtmp.server_buffer_enabled":             "a push never sends part of a picture, however large",
	"rtp_send_buffer_size":                   "nothing is sent over RTP yet",
	"ip_local":                               "the server listens on all addresses",
	"media_port_to":                          "all publishers share media_port_from",
	"compact_media_port_usage":               "all publishers share media_port_from",
	"rtp_bundle":                             "publishers always share one port",
	"port_from":                              "there is no SIP yet",
	"port_to":                                "there is no SIP yet",
	"ice_tcp_channel_high_water_mark":        "the queue's bound is built in",
	"ice_tcp_channel_low_water_mark":         "the queue's bound is built in",
	"dtls_force_version_0":                   "DTLS 1.0 is not spoken",
	"dtls0_ua_match_substring":               "DTLS 1.0 is not spoken",
	"codecs":                                 "what needs no transcoding is taken first: H.264, then the others",
	"codecs_exclude_streaming":               "what needs no transcoding is taken first: H.264, then the others",
	"codecs_exclude_sip":                     "there is no SIP yet",
	"codecs_exclude_sip_rtmp":                "there is no SIP yet",
	"codecs_exclude_cdn":                     "there is no CDN",
	"disable_rtc_avoid_transcoding_alg":      "H.264 always goes through untouched",
	"streaming_video_decoder_fast_start":     "nothing is decoded before it is needed",
	"periodic_fir_request":                   "key frames are always asked for while a push reads a stream",
	"h264_strict_kframe_detect":              "key frames are always told by their slices",
	"h264_sps_rbsp_scale":                    "parameter sets are never rewritten",
	"wss.keystore.password":                  "use tls_cert_file and tls_key_file",
	"wss.cert.password":                      "use tls_cert_file and tls_key_file",
	"mixer_auto_start":                       "there is no mixer",
	"rtmp_in_buffer_start_size":              "RTMP publishers are not buffered",
	"rtmp_in_buffer_initial_size":            "RTMP publishers are not buffered",
	"rtmp_in_buffer_polling_time":            "RTMP publishers are not buffered",
	"rtmp_in_buffer_max_bufferings_allowed":  "RTMP publishers are not buffered",
}
