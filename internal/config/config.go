// Package config reads the settings of the server: from a file in the format of flashphoner.properties, from the environment and from the
// command line.
//
// Each part of the server has a Config type of its own, with its defaults, its ranges and its Validate. Config here holds one Config of
// each part, and the table in settings joins each key to a field of a part. The keys and their meanings are those of Flashphoner Web Call
// Server where that server has the setting. The shipped flashphoner.properties is the manual; tests hold it to the defaults and ranges.
//
// Load applies the settings, derives the values that follow from them, and validates the result. Nothing changes a Config after Load.
package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
	"transponder/internal/certificate"
	"transponder/internal/cluster"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/limits"
	"transponder/internal/load"
	"transponder/internal/rest"
	"transponder/internal/rtc"
	"transponder/internal/rtc/lean"
	"transponder/internal/rtc/pion"
	"transponder/internal/rtc/udp"
	"transponder/internal/rtmpserver"
	"transponder/internal/sip"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
	"transponder/internal/wcs"
	"transponder/internal/whip"
)

// Config is all that can be set.
type Config struct {
	Listen  Listen
	Log     Log
	Targets Targets
	Auto    AutoStart

	RootsFile string // PEM file with more authorities that may have signed the certificates of rtmps servers

	// Receiver says which receiver takes WebRTC publishers: "lean", "peer", or "auto", which gives to lean whatever it takes and the rest to
	// peer.
	Receiver string

	MediaDir string // holds sound files, and pictures to show while a publisher is away; no file outside it is opened

	Audio  sound.Config
	Sounds soundfile.Config
	Video  picture.Config
	Ingest rtc.Config
	Egress rtc.EgressConfig
	Media  udp.Config
	Lean   lean.Config
	Pion   pion.Config
	Push   transponder.Config
	Hooks  transponder.HookConfig
	REST   rest.Config
	RTMP   rtmpserver.Config
	Stream stream.Config
	WCS    wcs.Config
	WHIP   whip.Config
	SIP    sip.Config
	Shares guard.SharesConfig
	Access auth.Config
	Token  token.Config
	People people.Config
	Audit  audit.Config

	Certificate certificate.Config
	Backends    hook.Config // of applications

	State   state.Config   // of what must outlive the process
	Cluster cluster.Config // of this server among others

	// Drain is how long streams may go on after a signal to stop, or when another process takes over.
	Drain time.Duration

	Trace trace.Config

	ICEServers rtc.ICEServers // that clients are told; Load gives them to WHIP and WCS, too

	Terminal bool // a person reads what the server prints; main sets it

	MaxLoad int // load limit for new publishers, pushes and players, in percent of the processors; 0: no limit
}

// Listen says on which ports the server listens. 0 is any free port. With -1 the port is not opened.
type Listen struct {
	HTTP, HTTPS int // REST, WHIP, WHEP, the pages, metrics
	WS, WSS     int // the WebSocket of the Web SDK
	RTMP, RTMPS int // our own RTMP server

	MaxHTTP int // the most connections at the same time to the first four ports together

	Names []string // names of the server that it cannot find out itself; *.suffix is every name below suffix
}

// The ranges of a Listen's numbers.
var (
	portRange    = limits.Of(-1, 65535)
	maxHTTPRange = limits.Of(1, 1_000_000)
)

// Log says what is logged to standard error, and in which form.
type Log struct {
	Level string // debug, info, warn, error
	JSON  bool
}

// Targets are the rules that say where pushes may go. Load makes Push.Targets of them.
type Targets struct {
	Allow, Deny []string // each rule is a host, *.suffix or a network, with or without a port
	DenyPrivate bool     // refuse this machine and networks that are not public
}

// AutoStart pushes every stream to one address.
type AutoStart struct {
	Enabled bool
	URL     string
}

// Default returns the settings of a server that is started without any. The result is complete; it needs no Validate.
func Default() Config {
	c := Config{
		Listen:      Listen{HTTP: 8081, HTTPS: 8444, WS: 8080, WSS: 8443, RTMP: 1935, RTMPS: -1, MaxHTTP: 10_000},
		Log:         Log{Level: "info"},
		MediaDir:    "media",
		Audio:       sound.DefaultConfig(),
		Sounds:      soundfile.DefaultConfig(),
		Video:       picture.DefaultConfig(),
		Ingest:      rtc.DefaultConfig(),
		Egress:      rtc.DefaultEgressConfig(),
		Media:       udp.DefaultConfig(),
		Receiver:    "auto",
		Lean:        lean.DefaultConfig(),
		Pion:        pion.DefaultConfig(),
		Push:        transponder.DefaultConfig(),
		Hooks:       transponder.DefaultHookConfig(),
		REST:        rest.DefaultConfig(),
		RTMP:        rtmpserver.DefaultConfig(),
		Stream:      stream.DefaultConfig(),
		WCS:         wcs.DefaultConfig(),
		WHIP:        whip.DefaultConfig(),
		SIP:         sip.DefaultConfig(),
		Shares:      guard.DefaultSharesConfig(),
		Access:      auth.DefaultConfig(),
		Token:       token.DefaultConfig(),
		Certificate: certificate.DefaultConfig(),
		State:       state.Config{Dir: "state"},
		Cluster:     cluster.DefaultConfig(),
		MaxLoad:     90,
		Backends:    hook.DefaultConfig(),
	}
	_ = c.derive() // without a rule and without a file nothing can fail
	return c
}

// derive fills in the fields that follow from others. It is the only step that reads files. Load calls it when all settings are known.
func (c *Config) derive() error {
	c.Certificate.ACME.Dir = filepath.Join(c.State.Dir, "acme")
	c.Egress.ConnectTimeout = c.Ingest.ConnectTimeout // players connect as publishers do
	c.Lean.Orientation = c.Pion.Orientation
	c.WHIP.ICEServers, c.WCS.ICEServers = c.ICEServers, c.ICEServers
	c.Pion.Expiry = c.Lean.Expiry // both receivers ask the same of publishers
	c.Sounds.RateBPS, c.Sounds.FastAAC = c.Audio.RateBPS, c.Audio.FastAAC

	var errs []error
	var err error
	if c.Push.Targets, err = transponder.ParseTargetPolicy(c.Targets.Allow, c.Targets.Deny, c.Targets.DenyPrivate); err != nil {
		errs = append(errs, fmt.Errorf("push targets: %w", err))
	}
	if c.Push.RootCAs, err = readRoots(c.RootsFile); err != nil {
		errs = append(errs, fmt.Errorf("rtmps_ca_file: %w", err))
	}
	if c.Backends.Roots, err = readRoots(c.Backends.RootsFile); err != nil {
		errs = append(errs, fmt.Errorf("rest_hook_ca_file: %w", err))
	}
	errs = append(errs, c.deriveSIP())
	c.deriveAccess()
	return errors.Join(errs...)
}

// deriveSIP fills in what SIP calls have in common with other parts.
func (c *Config) deriveSIP() error {
	c.SIP.Line.External = c.Media.Addresses
	c.WCS.RingTime = c.SIP.AnswerTimeout
	c.SIP.Leg.Activity = c.Ingest.ActivityTimeout
	gaps := leg.KeyFrameGapRange
	c.SIP.Leg.KeyFrameGap = min(max(c.Stream.KeyFrameGap, gaps.Min), gaps.Max)
	var errs []error
	var err error
	if c.SIP.Targets, err = c.Push.Targets.WithAllow("sip_allowed_hosts", c.SIP.AllowedHosts); err != nil {
		errs = append(errs, err)
	}
	if c.SIP.Account.Password, err = readSecret(c.SIP.Account.PasswordFile); err != nil {
		errs = append(errs, fmt.Errorf("sip_account_password_file: %w", err))
	}
	c.WCS.ClickToCall.Account = c.SIP.Account.Account()
	return errors.Join(errs...)
}

// readSecret returns the first line of a file; "" without a file.
func readSecret(file string) (sip.Secret, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return sip.Secret(strings.TrimSuffix(line, "\r")), nil
}

// readRoots returns the authorities of the system and those of a PEM file; nil, which means the system's, without a file.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // the system has no authorities
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

// Validate reports every value that cannot work, each with the part that it belongs to. It changes nothing and reads no file.
func (c Config) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		err  error
	}{
		{"listen", c.Listen.validate()},
		{"TLS", errors.Join(c.Certificate.Validate(), c.validateACME())},
		{"log", c.Log.validate()},
		{"audio", c.Audio.Validate()},
		{"sound files", c.Sounds.Validate()},
		{"pictures", c.Video.Validate()},
		{"publishers", c.Ingest.Validate()},
		{"players", c.Egress.Validate()},
		{"media port", c.Media.Validate()},
		{"WebRTC", c.Pion.Validate()},
		{"lean WebRTC", c.Lean.Validate()},
		{"WebRTC receiver", validateReceiver(c.Receiver)},
		{"push", c.Push.Validate()},
		{"push hooks", c.Hooks.Validate()},
		{"hooks", c.Backends.Validate()},
		{"automatic pushes", c.Auto.validate()},
		{"access", c.Access.Validate()},
		{"tokens", c.Token.Validate()},
		{"users", c.People.Validate()},
		{"REST", c.REST.Validate()},
		{"RTMP server", c.RTMP.Validate()},
		{"streams", c.Stream.Validate()},
		{"signalling", c.WCS.Validate()},
		{"WHIP", c.WHIP.Validate()},
		{"SIP", errors.Join(c.SIP.Validate(), c.validateServerAccount())},
		{"shares", c.Shares.Validate()},
		{"cluster", c.Cluster.Validate()},
		{"traces", c.Trace.Validate()},
		{"ICE servers", c.ICEServers.Validate()},
		{"load", load.PercentRange.Check("max_load_percent:", c.MaxLoad)},
	} {
		if part.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.name, part.err))
		}
	}
	return errors.Join(errs...)
}

// validateServerAccount refuses a server that lets everybody make calls at the cost of the account in the settings.
func (c Config) validateServerAccount() error {
	if c.WCS.ClickToCall.Callee != "" && c.SIP.Account.Login == "" {
		return errors.New("sip_click_to_call_callee needs sip_account_login")
	}
	if c.SIP.Enabled && c.SIP.Account.Login != "" && c.Access.WithoutCredential() && !c.SIP.OpenREST && (c.Listen.HTTP >= 0 || c.Listen.HTTPS >= 0) {
		return errors.New("sip_account_login lets everybody call at the cost of this account, with disable_rest_auth=true or access=open: " +
			"remove those settings, or sip_open_rest=true if a firewall keeps others away")
	}
	return nil
}

// validateACME refuses certificates that would be ordered again at each start, which authorities refuse after some times.
func (c Config) validateACME() error {
	if len(c.Certificate.ACME.Hosts) > 0 && c.State.Dir == "" {
		return errors.New("tls_acme_hosts needs state_dir, where the certificates are kept")
	}
	return nil
}

func (l Listen) validate() error {
	for _, name := range l.Names {
		if strings.ContainsAny(name, ":/ ") || strings.Contains(strings.TrimPrefix(name, "*"), "*") {
			return fmt.Errorf("http_allowed_hosts: %q must be a host's name without a port, or *.suffix", name)
		}
	}
	return errors.Join(
		portRange.Check("http.port", l.HTTP), portRange.Check("https.port", l.HTTPS), portRange.Check("ws.port", l.WS),
		portRange.Check("wss.port", l.WSS), portRange.Check("rtmp.port", l.RTMP), portRange.Check("rtmps.port", l.RTMPS), maxHTTPRange.Check("http_max_connections", l.MaxHTTP),
	)
}

func validateReceiver(name string) error {
	if !slices.Contains([]string{"auto", "lean", "peer"}, name) {
		return fmt.Errorf("rtc_receiver must be auto, lean or peer, not %q", name)
	}
	return nil
}

func (a AutoStart) validate() error {
	switch {
	case !a.Enabled:
		return nil
	case a.URL == "":
		return errors.New("rtmp_push_auto_start needs rtmp_push_auto_start_url")
	default:
		return transponder.ValidateAutoStart(a.URL)
	}
}

func (l Log) validate() error {
	_, err := l.SlogLevel()
	return err
}

// SlogLevel returns the level as slog has it.
func (l Log) SlogLevel() (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return 0, fmt.Errorf("log_level must be debug, info, warn or error, not %q", l.Level)
	}
	return level, nil
}

// settings is the table of all keys. Each joins a key to a field of c.
func (c *Config) settings() []setting {
	return slices.Concat(
		c.addressSettings(),
		c.webRTCSettings(),
		c.iceSettings(),
		c.signallingSettings(),
		c.callSettings(),
		c.pushSettings(),
		c.whoSettings(),
		c.peopleSettings(),
		c.accessSettings(),
		c.hookSettings(),
		c.tokenSettings(),
		c.clusterSettings(),
	)
}

// addressSettings are the settings of where the server is reached, and the log.
func (c *Config) addressSettings() []setting {
	return []setting{
		port("http.port", &c.Listen.HTTP),
		port("https.port", &c.Listen.HTTPS),
		port("ws.port", &c.Listen.WS),
		port("wss.port", &c.Listen.WSS),
		port("rtmp.port", &c.Listen.RTMP),
		port("rtmps.port", &c.Listen.RTMPS),
		whole("http_max_connections", &c.Listen.MaxHTTP, maxHTTPRange),
		whole("rtmp_max_connections", &c.RTMP.MaxConnections, rtmpserver.MaxConnectionsRange),
		whole("address_share_percent", &c.Shares.Percent, guard.PercentRange),
		networks("trusted_proxies", &c.Shares.Proxies),
		text("tls_cert_file", &c.Certificate.CertFile),
		text("tls_key_file", &c.Certificate.KeyFile),
		text("tls_dir", &c.Certificate.Dir),
		list("tls_acme_hosts", &c.Certificate.ACME.Hosts),
		text("tls_acme_email", &c.Certificate.ACME.Email),
		text("tls_acme_directory", &c.Certificate.ACME.Directory),
		text("tls_acme_ca_file", &c.Certificate.ACME.CAFile),
		text("tls_acme_eab_key_id", &c.Certificate.ACME.KeyID),
		text("tls_acme_eab_hmac_key", (*string)(&c.Certificate.ACME.KeyHMAC)),
		text("tls_client_auth", (*string)(&c.Certificate.ClientAuth)),
		text("tls_client_ca_file", &c.Certificate.ClientCAFile),
		list("http_allowed_hosts", &c.Listen.Names),
		text("log_level", &c.Log.Level),
		boolean("log_json", &c.Log.JSON),
		text("otel_endpoint", &c.Trace.Endpoint),
	}
}

// webRTCSettings are the settings of WebRTC.
func (c *Config) webRTCSettings() []setting {
	return []setting{
		addresses("ip", &c.Media.Addresses),
		whole("media_port_from", &c.Media.Port, udp.PortRange),
		text("rtc_receiver", &c.Receiver),
		boolean("ice_tcp_transport", &c.Pion.TCP),
		whole("ice_tcp_port", &c.Pion.TCPPort, pion.TCPPortRange),
		whole("rtp_receive_buffer_size", &c.Media.ReadBuffer, udp.ReadBufferRange),
		whole("rtp_sockets", &c.Media.Sockets, udp.SocketsRange),
		boolean("rtp_video_orientation", &c.Pion.Orientation),
		milliseconds("webrtc_connect_timeout_ms", &c.Ingest.ConnectTimeout, rtc.ConnectTimeoutRange),
		activity("rtp_activity_detecting", &c.Ingest.ActivityTimeout, rtc.ActivityTimeoutRange),
		boolean("rtp_activity_audio", &c.Ingest.ActivityAudio),
		boolean("rtp_activity_video", &c.Ingest.ActivityVideo),
		text("publish_takeover", (*string)(&c.Stream.Takeover)),
		boolean("publish_standby", &c.Stream.Standby),
		milliseconds("publish_standby_after_ms", &c.Stream.StandbyAfter, stream.StandbyAfterRange),
		whole("max_publishers", &c.Stream.MaxStreams, stream.MaxStreamsRange),
		whole("max_players", &c.Egress.MaxPlayers, rtc.MaxPlayersRange),
		whole("max_load_percent", &c.MaxLoad, load.PercentRange),
		milliseconds("periodic_fir_request_interval", &c.Stream.KeyFrameInterval, stream.KeyFrameIntervalRange),
		milliseconds("rtcp_pli_request_interval", &c.Stream.KeyFrameGap, stream.KeyFrameGapRange),
	}
}

// iceSettings are the settings of clients that lose their network.
func (c *Config) iceSettings() []setting {
	return []setting{
		milliseconds("webrtc_silence_timeout_ms", &c.Lean.Expiry, rtc.ExpiryRange),
		list("ice_servers", &c.ICEServers.URLs),
		text("turn_secret", (*string)(&c.ICEServers.Secret)),
		text("turn_user", &c.ICEServers.User),
		text("turn_password", (*string)(&c.ICEServers.Password)),
	}
}

// signallingSettings are the settings of the signalling of the Web SDK.
func (c *Config) signallingSettings() []setting {
	return []setting{
		list("ws_allowed_origins", &c.WCS.Origins),
		whole("ws_max_sessions", &c.WCS.MaxSessions, wcs.MaxSessionsRange),
		whole("ws_max_players", &c.WCS.MaxPlayers, wcs.MaxPlayersRange),
		milliseconds("ws_play_wait_ms", &c.WCS.ReadyTimeout, wcs.ReadyTimeoutRange),
		milliseconds("ws_keep_alive_grace_ms", &c.WCS.KeepAliveGrace, wcs.KeepAliveGraceRange),
		whole("ws_max_kept_sessions", &c.WCS.MaxKept, wcs.MaxKeptRange),
		boolean("rtmp_push_fail_stream", &c.WCS.FailWithPush),
		boolean("enable_local_videochat", &c.WCS.LocalCalls),
	}
}

// callSettings are the settings of SIP calls.
func (c *Config) callSettings() []setting {
	return []setting{
		boolean("sip_enabled", &c.SIP.Enabled),
		boolean("sip_listen", &c.SIP.Line.Listen),
		whole("sip_port", &c.SIP.Line.Port, line.PortRange),
		whole("sip_tls_port", &c.SIP.Line.TLSPort, line.PortRange),
		boolean("sip_tls_insecure_skip_verify", &c.SIP.Line.TLSInsecure),
		text("user_agent", &c.SIP.UserAgent),
		portOfRange("port_from", &c.SIP.Leg.PortFrom, leg.PortRange),
		portOfRange("port_to", &c.SIP.Leg.PortTo, leg.PortRange),
		text("domain", &c.SIP.Domain),
		text("outbound_proxy", &c.SIP.OutboundProxy),
		whole("outbound_port", &c.SIP.OutboundPort, sip.OutboundPortRange),
		text("sip_account_login", &c.SIP.Account.Login),
		text("sip_account_domain", &c.SIP.Account.Domain),
		text("sip_account_password_file", &c.SIP.Account.PasswordFile),
		boolean("sip_open_rest", &c.SIP.OpenREST),
		text("sip_click_to_call_callee", &c.WCS.ClickToCall.Callee),
		list("sip_allowed_hosts", &c.SIP.AllowedHosts),
		text("sip_allowed_callees", &c.SIP.AllowedCallees),
		text("sip_denied_callees", &c.SIP.DeniedCallees),
		networks("sip_incoming_allow", &c.SIP.IncomingAllow),
		text("sip_incoming_stream", &c.SIP.IncomingStream),
		whole("sip_max_calls", &c.SIP.MaxCalls, sip.MaxCallsRange),
		whole("sip_startup_rate", &c.SIP.CallsPerMinute, sip.CallsPerMinuteRange),
		seconds("sip_max_call_duration", &c.SIP.MaxDuration, sip.MaxDurationRange),
		milliseconds("sip_answer_timeout_ms", &c.SIP.AnswerTimeout, sip.AnswerTimeoutRange),
		seconds("sip_session_expires", &c.SIP.SessionExpires, sip.SessionExpiresRange),
		seconds("sip_register_expires", &c.SIP.RegisterExpires, sip.RegisterExpiresRange),
		boolean("sip_rewrite_contact", &c.SIP.RewriteContact),
		boolean("video_enabled", &c.SIP.Video),
		list("codecs_exclude_sip", &c.SIP.Exclude),
		list("codecs_exclude_sip_rtmp", &c.SIP.ExcludePushed),
		boolean("sip_vp8", &c.SIP.VP8),
		boolean("sip_opus_first", &c.SIP.OpusFirst),
		boolean("sip_profile_high", &c.SIP.HighProfile),
		word("sip_video_direction", &c.SIP.SendVideo, "recvonly", "sendrecv"),
		word("sip_early_media", &c.SIP.EarlyMedia, "ignore", "publish"),
		text("sip_srtp", (*string)(&c.SIP.SRTP)),
		boolean("sip_srtp_without_tls", &c.SIP.SRTPWithoutTLS),
		digits("dtmf", &c.SIP.Digits),
		milliseconds("sip_dtmf_tone_ms", &c.SIP.Leg.Tone, leg.ToneRange),
		boolean("sip_rtp_strict", &c.SIP.Leg.Strict),
		boolean("sip_rtp_learn_any", &c.SIP.Leg.LearnAny),
		milliseconds("sip_rtp_learn_ms", &c.SIP.Leg.Learn, leg.LearnRange),
		milliseconds("sip_first_packet_ms", &c.SIP.Leg.FirstPacket, leg.FirstPacketRange),
	}
}

// pushSettings are the settings of pushes, their sound and their pictures.
func (c *Config) pushSettings() []setting {
	return []setting{
		text("rtmp_transponder_stream_name_prefix", &c.Push.NamePrefix),
		boolean("rtmp_transponder_full_url", &c.Push.FullURL),
		boolean("rtmp_transponder_send_metadata", &c.Push.SendMetadata),
		text("rtmp_flash_ver_subscriber", &c.Push.FlashVersion),
		address("rtmp_publisher_ip", &c.Push.LocalAddr),
		milliseconds("rtmp_push_connect_timeout_ms", &c.Push.ConnectTimeout, transponder.TimeoutRange),
		milliseconds("rtmp_push_write_timeout_ms", &c.Push.WriteTimeout, transponder.TimeoutRange),
		milliseconds("rtmp_push_max_delay_ms", &c.Push.MaxDelay, transponder.MaxDelayRange),
		milliseconds("rtmp_push_resume_ms", &c.Push.ResumeFor, transponder.ResumeForRange),
		milliseconds("rtmp_push_resume_max_outage_ms", &c.Push.MaxOutage, transponder.MaxOutageRange),
		whole("rtmp_push_resume_per_second", &c.Push.ResumePerSecond, transponder.ResumePerSecondRange),
		milliseconds("rtmp_push_failed_keep_ms", &c.Push.FailedFor, transponder.FailedForRange),
		whole("rtmp_push_max", &c.Push.MaxPushes, transponder.MaxPushesRange),
		text("rtmps_ca_file", &c.RootsFile),
		boolean("rtmps_insecure_skip_verify", &c.Push.SkipTLSVerify),
		boolean("rtmp_push_restore", &c.Push.Restore),
		whole("rtmp_push_restore_attempts", &c.Push.RestoreAttempts, transponder.RestoreAttemptsRange),
		milliseconds("rtmp_push_restore_interval_ms", &c.Push.RestoreInterval, transponder.RestorePauseRange),
		milliseconds("rtmp_push_fail_back_ms", &c.Push.FailBack, transponder.FailBackRange),
		milliseconds("rtmp_push_hold_ms", &c.Push.HoldFor, transponder.HoldForRange),
		milliseconds("rtmp_push_backup_after_ms", &c.Push.BackupAfter, transponder.BackupAfterRange),
		boolean("rtmp_out_buffer_enabled", &c.Push.Buffer.Enabled),
		milliseconds("rtmp_out_buffer_start_size", &c.Push.Buffer.StartSize, transponder.BufferTimeRange),
		milliseconds("rtmp_out_buffer_initial_size", &c.Push.Buffer.MaxSize, transponder.BufferTimeRange),
		milliseconds("rtmp_out_buffer_polling_time", &c.Push.Buffer.PollingTime, transponder.BufferTimeRange),
		whole("rtmp_out_buffer_max_bufferings_allowed", &c.Push.Buffer.MaxBufferings, transponder.MaxBufferingsRange),
		text("media_dir", &c.MediaDir),
		boolean("rtmp_push_auto_start", &c.Auto.Enabled),
		text("rtmp_push_auto_start_url", &c.Auto.URL),
		list("push_allow", &c.Targets.Allow),
		list("push_deny", &c.Targets.Deny),
		boolean("push_deny_private", &c.Targets.DenyPrivate),
		text("push_hook_url", &c.Hooks.URL),
		text("push_hook_secret", &c.Hooks.Secret),
		milliseconds("push_hook_timeout_ms", &c.Hooks.Timeout, transponder.TimeoutRange),
		audioCodec("rtmp_push_audio_codec", &c.Audio),
		number("rtmp_push_audio_bitrate_kbps", &c.Audio.RateBPS, 1000, sound.RateRange),
		oneOf("rtmp_push_audio_sample_rate", &c.Audio.SampleRate, sound.SampleRates),
		whole("rtmp_push_audio_channels", &c.Audio.Channels, sound.ChannelsRange),
		boolean("rtmp_push_audio_fast_aac", &c.Audio.FastAAC),
		boolean("rtmp_push_audio_mono_as_stereo", &c.Audio.MonoAsStereo),
		boolean("rtmp_push_add_silent_audio", &c.Audio.AddSilence),
		number("media_cache_mb", &c.Sounds.MaxBytes, 1<<20, soundfile.MaxBytesRange),
		boolean("transcoding_disabled", &c.Video.Disabled),
		boolean("video_transcoder_preserve_aspect_ratio", &c.Push.KeepAspect),
		text("video_transcoder_preset", &c.Video.Preset),
		whole("video_transcoder_threads", &c.Video.Threads, libav.ThreadsRange),
		milliseconds("video_transcoder_key_frame_interval_ms", &c.Video.KeyFrameTime, libav.KeyFrameTimeRange),
		number("video_transcoder_bitrate_kbps", &c.Video.RateBPS, 1000, libav.RateRange),
		whole("video_transcoder_quality", &c.Video.Quality, libav.QualityRange),
		milliseconds("video_transcoder_buffer_ms", &c.Video.Buffer, libav.BufferRange, 0),
		whole("video_transcoder_max_load_percent", &c.Video.MaxLoad, picture.MaxLoadRange),
	}
}

// accessSettings are the settings of access, WHIP and REST.
func (c *Config) accessSettings() []setting {
	return []setting{
		text("state_dir", &c.State.Dir),
		text("secrets_key_file", &c.State.KeyFile),
		milliseconds("drain_ms", &c.Drain, rest.DrainRange),
		text("whip_token", (*string)(&c.Access.WHIPToken)),
		text("whep_token", (*string)(&c.Access.WHEPToken)),
		boolean("token_in_query", &c.WHIP.TokenInQuery),
		milliseconds("whep_hold_ms", &c.WHIP.Hold, whip.HoldRange),
		text("rest_access_control_allow_origin", &c.REST.AllowOrigin),
		text("rest_access_control_allow_headers", &c.REST.AllowHeaders),
		text("rest_access_control_allow_methods", &c.REST.AllowMethods),
		text("rest_access_control_headers", &c.REST.Headers),
	}
}

// hookSettings are the settings of applications and their backends.
func (c *Config) hookSettings() []setting {
	return []setting{
		text("apps_file", &c.Backends.AppsFile),
		boolean("apps_strict", &c.Backends.Strict),
		boolean("disable_rest_requests", &c.Backends.Disabled),
		seconds("rest_request_timeout", &c.Backends.Timeout, hook.TimeoutRange),
		whole("rest_max_connections", &c.Backends.MaxConnections, hook.MaxConnectionsRange),
		text("rest_on_error", (*string)(&c.Backends.OnError)),
		word("rest_backend_down", &c.Backends.LetIn, "decline", "allow"),
		whole("rest_event_retries", &c.Backends.EventRetries, hook.EventRetriesRange),
		text("rest_hook_ca_file", &c.Backends.RootsFile),
		text("rest_hook_cert_file", &c.Backends.CertFile),
		text("rest_hook_key_file", &c.Backends.KeyFile),
		boolean("rest_hook_send_hash", &c.Backends.SendHash),
		text("rest_hook_secret_key", (*string)(&c.Backends.Secret)),
		boolean("keep_alive_streaming_sessions_enabled", &c.Backends.KeepAlive),
		milliseconds("streaming_sessions_keep_alive_interval", &c.Backends.KeepAliveInterval, hook.KeepAliveIntervalRange),
		list("streaming_sessions_keep_alive_app_keys", &c.Backends.KeepAliveApps),
	}
}

// Keys returns the keys of all settings.
func Keys() []string {
	c := Default()
	settings := c.settings()
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.key
	}
	return keys
}

// Properties returns one line "key=value" for every setting, as a settings file has them. The lines are in the order of the table.
func (c Config) Properties() []string {
	settings := c.settings()
	lines := make([]string, len(settings))
	for i, s := range settings {
		lines[i] = s.key + "=" + escape(strings.TrimSpace(s.get()))
	}
	return lines
}

// escape writes a value as a file of Java properties has it.
func escape(value string) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
