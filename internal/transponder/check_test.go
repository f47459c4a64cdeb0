package transponder

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/destination"
	"transponder/internal/media"
	"transponder/internal/testkit"
)

// stepsOf returns the steps of a check in short: "name=ok address=failed(tcp_refused)".
func stepsOf(c Checked) string {
	var list []string
	for _, s := range c.Steps {
		text := string(s.Step) + "=" + string(s.Result)
		if s.Reason != ReasonNone {
			text += "(" + string(s.Reason) + ")"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func (b *bench) check(req CheckRequest) Checked {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	got, err := b.Check(ctx, req)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range got.Steps {
		if s.Detail == "" || !strings.HasSuffix(s.Detail, ".") && !strings.HasSuffix(s.Detail, "?") {
			b.t.Errorf("the step %s says %q, want a sentence", s.Step, s.Detail)
		}
	}
	return got
}

// A check says at which step a push would fail, and why.
func TestCheck(t *testing.T) {
	authority := testkit.NewAuthority(t)
	closed := "127.0.0.1:" + testkit.FreePort(t)
	const start = "name=skipped policy=ok "
	for _, tt := range []struct {
		name   string
		script testkit.Script
		url    string // "": the scripted server
		steps  string
		says   string
	}{
		{"a good server", testkit.Script{}, "", start + "address=ok tls=skipped handshake=ok connect=ok publish=skipped stream=skipped", "accepts the application"},
		{"nobody listens", testkit.Script{}, "rtmp://" + closed + "/live", start + "address=failed(tcp_refused) stream=skipped", "Nothing listens"},
		{"no RTMP", testkit.Script{At: "accept", Do: testkit.TalkNonsense}, "", start + "address=ok tls=skipped handshake=failed(rtmp_handshake) stream=skipped", "does not speak RTMP"},
		{"a wrong application", testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected"}, "",
			start + "address=ok tls=skipped handshake=ok connect=failed(bad_app) stream=skipped", "refused the application"},
		{"a login", testkit.Script{Login: testkit.Login{Scheme: "adobe", User: "u", Password: "p"}}, "",
			start + "address=ok tls=skipped handshake=ok connect=failed(auth_rejected) stream=skipped", "refused the login"},
		{"a name that does not exist", testkit.Script{}, "rtmp://nowhere.test/live", "name=failed(dns) stream=skipped", "could not be resolved"},
		{"a forbidden address", testkit.Script{}, "rtmp://169.254.169.254/live", "name=skipped policy=failed(target_forbidden) stream=skipped", "do not let it push"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) {
				c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
					return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
				}
			})
			server := testkit.NewRTMPServer(t, tt.script)
			url := tt.url
			if url == "" {
				url = server.URL("live")
			}
			got := b.check(CheckRequest{Request: Request{StreamName: "s", URL: url}})
			if steps := stepsOf(got); steps != tt.steps {
				t.Errorf("steps %s\nwant  %s", steps, tt.steps)
			}
			if !strings.Contains(fmt.Sprint(got.Steps), tt.says) {
				t.Errorf("%v does not say %q", got.Steps, tt.says)
			}
			if want := !strings.Contains(tt.steps, "failed"); got.OK() != want {
				t.Errorf("OK = %t, want %t", got.OK(), want)
			}
			if calls := server.Calls(); slices.ContainsFunc(calls, func(c string) bool { return strings.Contains(c, "ublish") || strings.Contains(c, "release") }) {
				t.Errorf("the check called %v: it must not disturb a publisher", calls)
			}
		})
	}
	t.Run("TLS", func(t *testing.T) {
		cert := certificateFor(t, authority, "live.example")
		for name, roots := range map[string]*x509.CertPool{"ok": authority.Pool(), "failed(tls_verify)": x509.NewCertPool()} {
			b := newBench(t, func(c *Config) {
				c.RootCAs = roots
				c.SkipTLSVerify = false
				c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
					return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
				}
			})
			server := testkit.NewRTMPSServer(t, testkit.Script{}, cert)
			_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(server.URL(""), "rtmps://"), "/"))
			got := b.check(CheckRequest{Request: Request{URL: "rtmps://live.example:" + port + "/live"}})
			if !strings.Contains(stepsOf(got), "tls="+name) || !strings.Contains(fmt.Sprint(got.Steps), "live.example") {
				t.Errorf("%v, want tls=%s with the names of the certificate", got.Steps, name)
			}
		}
	})
}

// called reports whether a server has got a command.
func called(s *testkit.RTMPServer, command string) bool {
	return slices.ContainsFunc(s.Calls(), func(c string) bool { return strings.HasPrefix(c, command+"(") })
}

func certificateFor(t *testing.T, a *testkit.Authority, name string) tls.Certificate {
	t.Helper()
	certPEM, keyPEM := a.Sign(x509.Certificate{DNSNames: []string{name}})
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// One address of several that works is enough, as for a push.
func TestCheckAddresses(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	good := netip.MustParseAddrPort(strings.TrimSuffix(strings.TrimPrefix(server.URL(""), "rtmp://"), "/"))
	b := newBench(t, func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.9"), good.Addr()}, nil // nobody listens on the first
		}
	})
	got := b.check(CheckRequest{Request: Request{URL: fmt.Sprintf("rtmp://two.test:%d/live", good.Port())}})
	if !got.OK() || !strings.HasPrefix(stepsOf(got), "name=ok policy=ok address=skipped(tcp_refused) address=ok") {
		t.Errorf("steps %s, OK %t", stepsOf(got), got.OK())
	}
}

// With Publish the check sends two seconds of a test card and takes its leave. It never publishes where a push of this server publishes.
func TestCheckPublishes(t *testing.T) {
	b := newBenchWith(t, nil, func(p *Parts) { p.Stills = slates{grey(t, 40)} })
	server := testkit.NewRTMPServer(t, testkit.Script{})
	req := CheckRequest{Request: Request{StreamName: "s", URL: server.URL("live")}, Publish: true}
	got := b.check(req)
	if steps := stepsOf(got); !strings.Contains(steps, "publish=ok media=ok stream=skipped") {
		t.Errorf("steps %s: %v", steps, got.Steps)
	}
	var kinds [2]int
	var last time.Duration
	for _, tag := range server.Tags() {
		switch {
		case tag.Header:
		case tag.Video:
			kinds[1]++
		default:
			kinds[0]++
		}
		last = max(last, tag.Time)
	}
	if kinds[0] < 70 || kinds[1] < 15 || last < 1500*time.Millisecond || last > 2500*time.Millisecond {
		t.Errorf("%d tags of sound and %d of pictures over %v, want 2 s of both", kinds[0], kinds[1], last)
	}
	server.Wait(t, "goodbye", func() bool { return called(server, "deleteStream") })

	s := b.source("s")
	b.start(req.Request)
	b.wait("live push", func() bool {
		s.write(1, 20)
		return b.Find(Filter{})[0].State == Live
	})
	before := len(server.Connections())
	if got = b.check(req); !strings.Contains(stepsOf(got), "publish=skipped") {
		t.Errorf("steps %s: a push of this server was disturbed", stepsOf(got))
	}
	if n := len(server.Connections()); n != before+1 {
		t.Errorf("%d connections, want one more than %d", n, before)
	}
}

// A refused key is told apart from a refused application.
func TestCheckRefusedKey(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"})
	got := b.check(CheckRequest{Request: Request{StreamName: "s", URL: server.URL("live")}, Publish: true})
	if steps := stepsOf(got); !strings.Contains(steps, "connect=ok publish=failed(key_in_use) stream") {
		t.Errorf("steps %s", steps)
	}
	if _, err := b.Check(t.Context(), CheckRequest{Request: Request{URL: server.URL("live")}, Publish: true}); !isRequestError(err, "streamName") {
		t.Errorf("%v, want that publish needs a stream", err)
	}
}

// A check follows a redirect, as a push does.
func TestCheckRedirect(t *testing.T) {
	last := testkit.NewRTMPServer(t, testkit.Script{})
	first := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.SendElsewhere, NewURL: last.URL("other")})
	b := newBench(t, nil)
	got := b.check(CheckRequest{Request: Request{StreamName: "s", URL: first.URL("live")}})
	steps := stepsOf(got)
	if !got.OK() || strings.Count(steps, "connect=ok") != 2 || !strings.Contains(fmt.Sprint(got.Steps), "sends the push on to") || len(last.Connections()) != 1 {
		t.Errorf("steps %v", got.Steps)
	}
}

// Strangers learn nothing of private networks: an open port and a closed one, a server of RTMP and another one look alike, and so does a
// destination that leads inside.
func TestCheckTellsStrangersNothing(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	noRTMP := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.TalkNonsense})
	refuses := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected"})
	targets := map[string]string{"good": server.URL("live"), "no-rtmp": noRTMP.URL("live"), "refuses": refuses.URL("live"), "closed": "rtmp://127.0.0.1:1/live"}
	b := newBenchWith(t, nil, func(p *Parts) { p.Destinations = urls(targets) })
	by := stranger(access.Grant{Actions: []access.Action{access.Push}, Streams: []string{"*"}, Destinations: []string{"*"}, URLs: []string{"*"}})
	answers := map[string]bool{}
	for name, url := range targets {
		req := CheckRequest{Request: Request{By: by, StreamName: "s", URL: url}, Heard: func(_ int, s Checking) {
			if public := s.Step == StepName || s.Step == StepPolicy || s.Step == StepStream; s.Hidden == public {
				t.Errorf("%s: the step %s is hidden: %t", name, s.Step, s.Hidden)
			}
		}}
		got := b.check(req)
		if stepsOf(got) != "name=skipped policy=failed(target_forbidden) stream=skipped" {
			t.Errorf("%s: a stranger sees %s", name, stepsOf(got))
		}
		req.URL = "destination://" + name
		got = b.check(req).ForStrangers()
		if name != "good" {
			text := ""
			for _, s := range got.Steps {
				text += fmt.Sprint(s.Step, s.Result, s.Reason, s.Detail, s.Address)
			}
			answers[text] = true
			if stepsOf(got) != "name=skipped policy=ok address=failed(unreachable) stream=skipped" {
				t.Errorf("%s as a destination: a stranger sees %s", name, stepsOf(got))
			}
		} else if stepsOf(got) != "name=skipped policy=ok address=ok stream=skipped" {
			t.Errorf("%s as a destination: a stranger sees %s", name, stepsOf(got))
		}
	}
	if len(answers) != 1 {
		t.Errorf("strangers can tell servers inside apart: %v", answers)
	}
	if n := len(noRTMP.Connections()) + len(server.Connections()); n > 2 {
		t.Errorf("%d connections: a forbidden address was dialled", n)
	}
}

// The backup addresses of a push are checked too, each with steps of its own. One that does not work is a fault.
func TestCheckBackups(t *testing.T) {
	b := newBenchWith(t, nil, func(p *Parts) { p.Stills = slates{grey(t, 40)} })
	first := testkit.NewRTMPServer(t, testkit.Script{})
	refuses := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected"})
	last := testkit.NewRTMPServer(t, testkit.Script{})
	heard := make([]Checked, 3)
	req := CheckRequest{
		Request: Request{StreamName: "s", URL: first.URL("live"), Options: Options{BackupURLs: []string{refuses.URL("live"), last.URL("spare")}}},
		Publish: true,
		Heard:   func(backup int, s Checking) { heard[backup].Steps = append(heard[backup].Steps, s) },
	}
	got := b.check(req)
	const well = "name=skipped policy=ok address=ok tls=skipped handshake=ok connect=ok publish=ok media=ok stream=skipped"
	if got.OK() || stepsOf(got) != well || len(got.Backups) != 2 || !strings.HasSuffix(got.Target, "/live/***") {
		t.Fatalf("OK %t, steps %s, %d backups: want the first address well, and a fault", got.OK(), stepsOf(got), len(got.Backups))
	}
	if steps := stepsOf(got.Backups[0]); got.Backups[0].OK() || !strings.HasSuffix(steps, "connect=failed(bad_app) stream=skipped") {
		t.Errorf("the first backup: %s", steps)
	}
	if steps := stepsOf(got.Backups[1]); !got.Backups[1].OK() || steps != well || !strings.HasSuffix(got.Backups[1].Target, "/spare/***") {
		t.Errorf("the second backup: %s, %s", got.Backups[1].Target, steps)
	}
	for i, all := range []Checked{got, got.Backups[0], got.Backups[1]} {
		if !slices.Equal(heard[i].Steps, all.Steps) {
			t.Errorf("address %d: heard %s, want %s", i, stepsOf(heard[i]), stepsOf(all))
		}
	}
	req.Options.BackupURLs[1] = first.URL("live")
	if _, err := b.Check(t.Context(), req); !isRequestError(err, "options.backupUrls[1]") {
		t.Errorf("%v, want that an address twice is refused, as for a push", err)
	}
}

// Each step is told when it is known, while the next one still goes on.
func TestCheckTellsStepsAsTheyCome(t *testing.T) {
	b := newBench(t, nil)
	silent := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.StaySilent})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := b.Check(ctx, CheckRequest{Request: Request{URL: silent.URL("live")}, Heard: func(_ int, s Checking) {
		switch {
		case s.Step == StepHandshake:
			cancel() // the server never answers connect
		case s.Step == StepConnect && s.Took >= loginTimeout:
			t.Error("the handshake was told only after connect had failed")
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the check was ended after the handshake", err)
	}
}

// A check ends with the request that asked for it.
func TestCheckIsCancelled(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.StaySilent})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client is gone")
	ended := make(chan error, 1)
	go func() {
		_, err := b.Check(ctx, CheckRequest{Request: Request{URL: server.URL("live")}})
		ended <- err
	}()
	server.Wait(t, "connect", func() bool { return called(server, "connect") })
	cancel(gone)
	if err := <-ended; !errors.Is(err, gone) {
		t.Errorf("%v, want %v", err, gone)
	}
}

// A push to a platform tells what of its stream the platform does not take, and a check of the same stream says the same.
func TestFindingsOfPush(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	b := newBenchWith(t, nil, func(p *Parts) { p.Destinations = urls{"ivs-stage": server.URL("live")} })
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: "destination://ivs-stage"}).ID
	s.live(t, server)
	info := b.Find(Filter{ID: id})[0]
	if len(info.Health) != 0 {
		t.Fatalf("health = %v of a stream of 1280x720 in Baseline", info.Health)
	}
	// The publisher turns to a larger picture, in another profile.
	larger := slices.Clone(s.video.Config)
	larger[8+1] = 77 // profile_idc of the set that follows its length
	s.video = &media.Track{Codec: media.H264, Config: larger, Width: 1920, Height: 1080}
	b.wait("findings", func() bool {
		s.write(1, 20)
		info = b.Find(Filter{ID: id})[0]
		return len(info.Health) >= 2
	})
	codes := codesOf(info.Health)
	if !slices.Contains(codes, FindingSize) || !slices.Contains(codes, FindingProfile) {
		t.Errorf("health = %v", info.Health)
	}
	checked := codesOf(b.check(CheckRequest{Request: Request{StreamName: "s", URL: "destination://ivs-stage"}}).Findings)
	if !slices.Equal(checked, codes) {
		t.Errorf("the check finds %v, the push has %v", checked, codes)
	}
}

func codesOf(findings []Finding) (codes []FindingCode) {
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestCompare(t *testing.T) {
	preset := func(id string) destination.Preset {
		p, ok := destination.PresetByID(id)
		if !ok {
			t.Fatal(id)
		}
		return p
	}
	h264 := func(width, height int, profile byte) *media.Track {
		config := slices.Clone(realVideo(t).Config)
		config[8+1] = profile
		return &media.Track{Codec: media.H264, Width: width, Height: height, Config: config}
	}
	aac := func(rate int) *media.Track { return &media.Track{Codec: media.AAC, SampleRate: rate, Channels: 2} }
	good := shape{video: h264(1920, 1080, 66), sound: aac(48000), fps: 60, keyInterval: 2200 * time.Millisecond, videoBPS: 6_500_000, soundBPS: 128_000}
	with := func(change func(*shape)) shape {
		s := good
		change(&s)
		return s
	}
	for _, tt := range []struct {
		name   string
		preset destination.Preset
		shape  shape
		want   []FindingCode
		says   string
	}{
		{"well", preset("youtube"), good, nil, ""},
		{"unknown", preset("twitch"), shape{}, nil, ""},
		{"portrait", preset("facebook"), with(func(s *shape) { s.video = h264(1080, 1920, 66) }), nil, ""},
		{"no sound", preset("facebook"), with(func(s *shape) { s.silent = true }), []FindingCode{FindingNoSound}, "Facebook Live wants sound"},
		{"no sound elsewhere", destination.Preset{}, with(func(s *shape) { s.silent = true }), nil, ""},
		{"hevc where it is taken", preset("youtube"), with(func(s *shape) { s.video = &media.Track{Codec: media.H265} }), nil, ""},
		{"hevc", preset("twitch"), with(func(s *shape) { s.video = &media.Track{Codec: media.H265} }), []FindingCode{FindingCodec}, `Leave "hevc" out`},
		{"10 bit", destination.Preset{}, with(func(s *shape) { s.video = h264(1920, 1080, 110) }), nil, ""}, // realVideo's set is too short for this profile
		{"4k", preset("twitch"), with(func(s *shape) { s.video = h264(3840, 2160, 66) }), []FindingCode{FindingSize}, "3840x2160"},
		{"fast", preset("twitch"), with(func(s *shape) { s.fps = 120 }), []FindingCode{FindingFrameRate}, "120 pictures"},
		{"key frames", preset("youtube"), with(func(s *shape) { s.keyInterval = 8 * time.Second }), []FindingCode{FindingKeyInterval}, "8.0 s between key frames"},
		{"key frames elsewhere", destination.Preset{}, with(func(s *shape) { s.keyInterval = 8 * time.Second }), nil, ""},
		{"hardly any key frames", destination.Preset{}, with(func(s *shape) { s.keyInterval = 20 * time.Second }), []FindingCode{FindingKeyInterval}, "20.0 s"},
		{"bit rate", preset("twitch"), with(func(s *shape) { s.videoBPS = 9_000_000 }), []FindingCode{FindingVideoBitrate}, "9000 kbit/s, and Twitch takes 6000"},
		{"bit rate of sound", preset("facebook"), with(func(s *shape) { s.soundBPS = 400_000 }), []FindingCode{FindingAudioBitrate}, "400 kbit/s"},
		{"codec of sound", preset("twitch"), with(func(s *shape) { s.sound = &media.Track{Codec: media.PCMA} }), []FindingCode{FindingAudioCodec}, "PCMA"},
		{"rate of sound", preset("twitch"), with(func(s *shape) { s.sound = aac(22050) }), []FindingCode{FindingAudioRate}, "22050 Hz"},
		{"profile", preset("ivs-stage"), with(func(s *shape) { s.video = h264(1280, 720, 77) }), []FindingCode{FindingProfile}, "Main"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := compare(tt.preset, tt.shape)
			if !slices.Equal(codesOf(got), tt.want) {
				t.Errorf("findings %v, want %v", got, tt.want)
			}
			if len(got) > 0 && !strings.Contains(got[0].Detail, tt.says) {
				t.Errorf("%q does not say %q", got[0].Detail, tt.says)
			}
		})
	}
}

// urls are destinations by name, of the platform with the same name.
type urls map[string]string

func (u urls) Resolve(_ context.Context, name string) (destination.Destination, error) {
	url, ok := u[name]
	if !ok {
		return destination.Destination{}, destination.ErrNotFound
	}
	return destination.Destination{Name: name, Preset: name, URL: access.Secret(url), Streams: []string{"*"}}, nil
}
