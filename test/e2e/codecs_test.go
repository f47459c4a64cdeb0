//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture/picturetest"
)

const (
	codecFPS    = 15
	orientation = "urn:3gpp:video-orientation"
)

// rtpCodecs are the codecs of pictures as WebRTC names them, and what makes packets of their access units.
var rtpCodecs = map[media.Codec]struct {
	mime, format string
	payloader    func() rtp.Payloader
}{
	media.H264: {webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", func() rtp.Payloader { return &codecs.H264Payloader{} }},
	media.H265: {webrtc.MimeTypeH265, "", func() rtp.Payloader { return &codecs.H265Payloader{} }},
	media.VP8:  {webrtc.MimeTypeVP8, "", func() rtp.Payloader { return &codecs.VP8Payloader{EnablePictureID: true} }},
	media.VP9:  {webrtc.MimeTypeVP9, "profile-id=0", func() rtp.Payloader { return &codecs.VP9Payloader{} }},
	media.AV1:  {webrtc.MimeTypeAV1, "", func() rtp.Payloader { return &codecs.AV1Payloader{} }},
}

// camera publishes pictures of one codec by WHIP, without sound, two seconds again and again. A key frame is sent whenever one is
// asked for.
type camera struct {
	codec media.Codec
	clip  []media.Frame
	turn  byte // the orientation that is told (3GPP TS 26.114, 7.4.5); 0: none

	wantKey atomic.Bool
}

// publishCodec publishes until the test ends, and returns when the stream is there.
func publishCodec(t *testing.T, s *server, name string, codec media.Codec, width, height int, turn byte) {
	t.Helper()
	c := &camera{codec: codec, clip: picturetest.Clip(t, codec, picturetest.Source(width, height, codecFPS, 2*time.Second)), turn: turn}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() { failed <- c.run(ctx, s.exchange(name)) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	testkit.Eventually(t, 30*time.Second, func() string {
		select {
		case err := <-failed:
			t.Fatalf("publish %v: %v", codec, err)
		default:
		}
		var streams []struct {
			Name          string
			Width, Height int
		}
		s.post("/stream/find_all", struct{}{}, &streams)
		for _, stream := range streams {
			if stream.Name == name && stream.Width > 0 {
				return ""
			}
		}
		return fmt.Sprintf("the stream has no pictures yet: %+v", streams)
	})
}

// run publishes until ctx ends.
func (c *camera) run(ctx context.Context, exchange testkit.Exchange) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer pc.GracefulClose()
	track, err := webrtc.NewTrackLocalStaticRTP(c.capability(), "video", "camera")
	if err != nil {
		return err
	}
	transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	sender := transceiver.Sender()
	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	if err := testkit.Negotiate(ctx, pc, exchange); err != nil {
		return err
	}
	wg.Go(func() { c.listen(sender) })
	select {
	case <-connected:
	case <-ctx.Done():
		return nil
	}
	var extension uint8
	for _, e := range sender.GetParameters().HeaderExtensions {
		if e.URI == orientation {
			extension = uint8(e.ID)
		}
	}
	return c.send(ctx, track, extension)
}

func (c *camera) capability() webrtc.RTPCodecCapability {
	of := rtpCodecs[c.codec]
	return webrtc.RTPCodecCapability{MimeType: of.mime, ClockRate: 90000, SDPFmtpLine: of.format}
}

func (c *camera) api() (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	codec := webrtc.RTPCodecParameters{RTPCodecCapability: c.capability(), PayloadType: 96}
	codec.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack", Parameter: "pli"}}
	if err := m.RegisterCodec(codec, webrtc.RTPCodecTypeVideo); err != nil {
		return nil, err
	}
	if c.turn != 0 {
		if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: orientation}, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, err
		}
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)), nil
}

func (c *camera) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				c.wantKey.Store(true)
			}
		}
	}
}

// send keeps the pictures' time.
func (c *camera) send(ctx context.Context, track *webrtc.TrackLocalStaticRTP, extension uint8) error {
	payloader := rtpCodecs[c.codec].payloader()
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}}
	every := time.NewTicker(time.Second / codecFPS)
	defer every.Stop()
	for at := 0; ; at++ {
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
		if at == len(c.clip) || c.wantKey.Swap(false) {
			at = 0
		}
		payloads := payloader.Payload(1180, c.unit(at))
		for i, payload := range payloads {
			packet.Header.Extensions, packet.Header.Extension = nil, false
			packet.Marker = i == len(payloads)-1
			if packet.Marker && extension != 0 {
				if err := packet.SetExtension(extension, []byte{c.turn}); err != nil {
					return err
				}
			}
			packet.Payload = payload
			if err := track.WriteRTP(&packet); err != nil {
				return err
			}
			packet.SequenceNumber++
		}
		packet.Timestamp += 90000 / codecFPS
	}
}

// unit returns an access unit as the payloader wants it: with start codes, and parameter sets before a key frame.
func (c *camera) unit(at int) []byte {
	f := c.clip[at]
	if c.codec != media.H264 && c.codec != media.H265 {
		return f.Data
	}
	var b []byte
	put := func(n []byte) { b = append(append(b, 0, 0, 0, 1), n...) }
	if f.Key {
		for _, n := range parameterSets(c.codec, f.Track.Config) {
			put(n)
		}
	}
	for rest := f.Data; len(rest) > 4; {
		size := int(binary.BigEndian.Uint32(rest))
		put(rest[4 : 4+size])
		rest = rest[4+size:]
	}
	return b
}

// parameterSets returns those of an MP4's configuration (ISO 14496-15, 5.3.3.1 and 8.3.3.1).
func parameterSets(codec media.Codec, config []byte) (sets [][]byte) {
	if codec == media.H264 {
		sps, pps, err := media.H264ParameterSets(config)
		if err != nil {
			panic(err) // ffmpeg wrote it
		}
		return append(sps, pps...)
	}
	arrays := int(config[22])
	for b := config[23:]; arrays > 0; arrays-- {
		n := int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		for range n {
			size := int(binary.BigEndian.Uint16(b))
			sets = append(sets, b[2:2+size])
			b = b[2+size:]
		}
	}
	return sets
}

// Whatever codec a publisher has, a push that says nothing of it arrives as H.264 at the pictures' own size.
func TestOtherCodecs(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	url, records := startNginx(t)
	for _, codec := range []media.Codec{media.VP8, media.VP9, media.AV1, media.H265} {
		t.Run(codec.String(), func(t *testing.T) {
			name := strings.ToLower(strings.ReplaceAll(codec.String(), ".", ""))
			publishCodec(t, s, name, codec, 480, 270, 0)
			if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": url}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitFrames(name, 4*codecFPS)
			var found []struct {
				ID            string `json:"mediaSessionId"`
				Width, Height int
			}
			s.post("/push/find", map[string]any{"streamName": name}, &found)
			if found[0].Width != 480 || found[0].Height != 270 {
				t.Errorf("find says %dx%d, want 480x270", found[0].Width, found[0].Height)
			}
			s.post("/push/terminate", map[string]any{"mediaSessionId": found[0].ID}, nil)
			file := filepath.Join(records, "rtmp_"+name+".flv")
			m := probe(t, file)
			for _, stream := range m.Streams {
				if stream.Kind == "video" && (stream.Codec != "h264" || stream.Width != 480 || stream.Height != 270) {
					t.Errorf("received %s of %dx%d, want h264 of 480x270", stream.Codec, stream.Width, stream.Height)
				}
			}
			decodes(t, file)
		})
	}
}

// With transcoding switched off what needs it is refused in the contract's words, and all else goes on.
func TestTranscodingDisabled(t *testing.T) {
	t.Parallel()
	s := startServer(t, "transcoding_disabled=true")
	publishPictures(t, s, "h264", 320, 180, 30)
	publishCodec(t, s, "vp8", media.VP8, 320, 180, 0)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	for _, body := range []map[string]any{{"streamName": "vp8"}, {"streamName": "h264", "height": 120}, {"streamName": "h264", "fps": 10}} {
		body["rtmpUrl"] = receiver.URL("live")
		var answer struct{ Message string }
		if code := s.post("/push/startup", body, &answer); code != http.StatusBadRequest || answer.Message != "Transcoding required, but disabled" {
			t.Errorf("%v is answered %d %q", body, code, answer.Message)
		}
	}
	if code := s.post("/push/startup", map[string]any{"streamName": "h264", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
		t.Errorf("a push as it is: startup answers %d", code)
	}
	receiver.Wait(t, "pictures", func() bool { return len(videoTimes(receiver)) > 10 })
}

// A phone that tells how its pictures are to be turned: they are where they are transcoded, and metadata says it where they pass.
func TestPhoneTurned(t *testing.T) {
	t.Parallel()
	const quarter = 1 // clockwise, by 90 degrees
	s := startServer(t, "rtp_video_orientation=true")
	publishCodec(t, s, "phone", media.H264, 480, 270, quarter)
	passing, turned := testkit.NewRTMPServer(t, testkit.Script{}), testkit.NewRTMPServer(t, testkit.Script{})
	for _, body := range []map[string]any{{"rtmpUrl": passing.URL("live")}, {"rtmpUrl": turned.URL("live"), "keyFrameInterval": 30}} {
		body["streamName"] = "phone"
		if code := s.post("/push/startup", body, nil); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
	}
	for _, r := range []*testkit.RTMPServer{passing, turned} {
		r.Wait(t, "pictures", func() bool { return len(videoTimes(r)) > codecFPS })
	}
	if m := passing.Metadata(); len(m) == 0 || m[len(m)-1]["rotation"] != 90.0 || m[len(m)-1]["width"] != 480.0 {
		t.Errorf("metadata of pictures that pass: %v, want 480 wide with a rotation of 90", m)
	}
	if m := turned.Metadata(); len(m) == 0 || m[len(m)-1]["rotation"] != nil || m[len(m)-1]["width"] != 270.0 || m[len(m)-1]["height"] != 480.0 {
		t.Errorf("metadata of pictures that were turned: %v, want 270x480 without a rotation", m)
	}
}
