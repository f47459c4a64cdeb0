package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/magiconair/properties"
)

// Sources are the places that settings come from. Each overrides the ones before it: the file, the environment, the command line.
type Sources struct {
	File    string   // path of a settings file; "": that of the package, or none
	Environ []string // as os.Environ returns it
	Set     []string // key=value
}

// envPrefix is the beginning of every environment variable that is a setting: TRANSPONDER_HTTP_PORT is http.port.
const envPrefix = "TRANSPONDER_"

// ofCommands are the variables that the commands of the operator read. They are no settings of a server.
var ofCommands = []string{envPrefix + "URL", envPrefix + "TOKEN", envPrefix + "TOKEN_FILE"}

// packaged is the settings file that is read if none is named. The build of a package sets it: -ldflags "-X transponder/internal/config.packaged=FILE".
var packaged = ""

// Load returns the defaults, changed by each source in turn, with the values filled in that follow from others. Each warning is one line for the log, about an unknown key or
// about a key that has no effect in this server. The error names every bad value with the place where it stands.
func Load(from Sources) (c Config, warnings []string, err error) {
	c = Default()
	l := loader{settings: c.settings()}
	if file := cmp.Or(from.File, packaged); file != "" {
		l.file(file)
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
	l.faults = append(l.faults, c.derive(), c.Validate()) // a value that could not be read has its default: all faults show at once
	return c, l.warnings, errors.Join(l.faults...)
}

// loader applies values to settings, and collects warnings and faults.
type loader struct {
	settings []setting
	warnings []string
	faults   []error
}

func (l *loader) fault(place, reason string) {
	l.faults = append(l.faults, fmt.Errorf("%s: %s", place, reason))
}

// file applies a settings file. The file has the format of Java properties, because the files of Web Call Server have it.
func (l *loader) file(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("read settings: %w", err))
		return
	}
	l.read(path, content)
}

// read applies the content of a settings file.
func (l *loader) read(path string, content []byte) {
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

// lineOf returns the number of the last line that sets key: the last line is the one that counts.
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
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(ofCommands, name) {
			continue
		}
		key, known := names[name]
		if !known {
			l.unknown("environment", name, nearest(name, envNames(l.settings)))
			continue
		}
		l.apply("environment "+name, key, strings.TrimSpace(value))
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

// notYet is the text for a feature that this version does not have.
const notYet = "this version cannot do that"

// withoutEffect has the keys of Web Call Server that a settings file may hold and that this server does not use. The text says what the
// server does instead.
var withoutEffect = map[string]string{
	"disable_streaming_proxy":               notYet,
	"stream_idle_bitrate_monitoring":        notYet,
	"rtp_activity_audio_exclude":            notYet,
	"rtp_activity_video_exclude":            notYet,
	"rtmp.server_buffer_enabled":            "a push never sends part of a picture, however large",
	"rtp_send_buffer_size":                  "the send buffer of the media sockets has the kernel's default size",
	"ip_local":                              "the server listens on all addresses",
	"media_port_to":                         "all publishers and players share media_port_from",
	"compact_media_port_usage":              "all publishers and players share media_port_from",
	"rtp_bundle":                            "all tracks of a connection always share one port",
	"ice_tcp_channel_high_water_mark":       "the size of the queue is built in",
	"ice_tcp_channel_low_water_mark":        "the size of the queue is built in",
	"dtls_force_version_0":                  "DTLS 1.0 is not supported",
	"dtls0_ua_match_substring":              "DTLS 1.0 is not supported",
	"codecs":                                "codecs that need no transcoding are chosen first: H.264, then the others",
	"codecs_exclude_streaming":              "codecs that need no transcoding are chosen first: H.264, then the others",
	"hold_ip_settings":                      "a phone on hold is known by the direction of its media, or by the address 0.0.0.0",
	"auto_login_url":                        "the account comes from the page, or from sip_account_login",
	"get_callee_url":                        "the callee comes from the page, or from sip_click_to_call_callee",
	"balance_header":                        notYet,
	"cost_header":                           notYet,
	"sip_msg_listener":                      notYet,
	"call_record_listener":                  notYet,
	"on_record_hook_script":                 notYet,
	"sip_add_contact_id":                    "a contact has a random user, so that only calls to this server have it",
	"codecs_exclude_cdn":                    "there is no CDN",
	"disable_rtc_avoid_transcoding_alg":     "H.264 goes through untouched, unless a request asks for another picture",
	"streaming_video_decoder_fast_start":    "nothing is decoded before it is needed",
	"periodic_fir_request":                  "use periodic_fir_request_interval; with 0 key frames are not asked for periodically",
	"h264_strict_kframe_detect":             "key frames are always recognized by their slices",
	"h264_sps_rbsp_scale":                   "parameter sets are never rewritten",
	"wss.keystore.password":                 "use tls_cert_file and tls_key_file",
	"wss.cert.password":                     "use tls_cert_file and tls_key_file",
	"mixer_auto_start":                      "there is no mixer",
	"rtmp_in_buffer_start_size":             "RTMP publishers are not buffered",
	"rtmp_in_buffer_initial_size":           "RTMP publishers are not buffered",
	"rtmp_in_buffer_polling_time":           "RTMP publishers are not buffered",
	"rtmp_in_buffer_max_bufferings_allowed": "RTMP publishers are not buffered",
}
