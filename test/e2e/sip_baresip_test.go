//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// A real phone is called; the push that was asked for while it rang goes live when it answers. What arrives at a real receiver is the
// phone's H.264 byte for byte, its tone in AAC, and a key frame each two seconds.
func TestBaresip(t *testing.T) {
	t.Parallel()
	media := t.TempDir()
	writeWAV(t, filepath.Join(media, "thousand.wav"), 48000, 1000, 3*time.Second)
	s := startSIP(t, "media_dir="+media)
	url, records := startNginx(t)
	together(t, map[string]func(*testing.T){
		"call": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{slow: true, hears: true, more: []string{"rtp_ports 19000-19100"}})
			wire := startCaptureOf(t, "udp src portrange 19000-19100")
			asked := time.Now()
			c := s.dial(t, b.uri(), nil)
			c.await("RING")
			c.pushTo(url)
			if code, _ := s.ask(t, "/stream/find", map[string]string{"name": c.id}); code != http.StatusOK {
				t.Errorf("the reserved stream is not found: %d", code)
			}
			b.await("CALL_INCOMING", 1)
			t.Logf("it rings %v after startup", time.Since(asked))
			b.do("accept", "")
			found := c.await("ESTABLISHED")
			if found.SIPStatus != 200 || !found.HasVideo || !found.HasAudio || !strings.EqualFold(found.VideoCodec, "H264") {
				t.Errorf("the call is %+v", found)
			}
			testkit.Eventually(t, 10*time.Second, func() string {
				var all []push
				c.find("/push/find", map[string]string{"streamName": c.id}, &all)
				if len(all) != 1 || all[0].Status != "PUBLISHING" {
					return fmt.Sprintf("the push is %+v", all)
				}
				return ""
			})
			c.do("/call/send_dtmf", map[string]any{"dtmf": "1#A"})
			for i, key := range "1#A" {
				if got := b.await("CALL_DTMF_START", i+1).Param; got != string(key) {
					t.Errorf("the phone got digit %q, want %c", got, key)
				}
			}
			c.do("/call/inject_sound", map[string]any{"fileName": "thousand.wav"})
			time.Sleep(6 * time.Second)
			if found := c.await("ESTABLISHED"); found.PacketsLost != 0 {
				t.Errorf("%d packets are lost", found.PacketsLost)
			}
			c.do("/call/terminate", nil)
			b.await("CALL_CLOSED", 1)
			c.await("FINISH")
			file := filepath.Join(records, "rtmp_"+c.id+".flv")
			// baresip forgets a request that comes while it encodes a picture; the next request comes a second later.
			judge(t, file, expectation{seconds: 6, tone: true, keyGap: 3.5})
			judgeFileTone(t, file, 440)
			judgeWire(t, file, wire.packets())
			judgeFileTone(t, b.heard(), 1000)
		},
		"hung up by the phone": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{})
			c := s.dial(t, b.uri(), map[string]any{"hasVideo": "false"})
			c.await("ESTABLISHED")
			b.await("CALL_ESTABLISHED", 1)
			b.do("hangup", "")
			if end := c.await("FINISH"); end.Reason != "hung_up" {
				t.Errorf("the call ended with %+v", end)
			}
		},
		"TCP": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{})
			c := s.dial(t, b.uri()+";transport=tcp", nil)
			c.await("ESTABLISHED")
			b.await("CALL_ESTABLISHED", 1)
			receiver := c.push()
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) > 30 })
			c.do("/call/terminate", nil)
			b.await("CALL_CLOSED", 1)
		},
	})
}

// A phone that has only one codec is heard and seen: Opus, G.722 and A-law of baresip, VP8 of linphonec, which is transcoded.
func TestSIPCodecs(t *testing.T) {
	t.Parallel()
	s := startSIP(t, "codecs_exclude_sip=", "sip_vp8=true")
	scenes := map[string]func(*testing.T){
		"VP8": func(t *testing.T) {
			c := s.dial(t, startLinphone(t), nil)
			receiver := c.push()
			found := c.await("ESTABLISHED")
			if !strings.EqualFold(found.VideoCodec, "VP8") {
				t.Errorf("the call is %+v, want VP8", found)
			}
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) >= 2 })
			if found, _ := c.info(); found.PacketsRefused == 0 {
				t.Error("the phone's STUN is not counted")
			}
		},
	}
	for account, want := range map[string]string{"opus/48000/2": "opus", "G722/16000": "G722", "PCMA/8000": "PCMA"} {
		scenes[want] = func(t *testing.T) {
			b := startBaresip(t, baresipConfig{account: ";audio_codecs=" + account})
			c := s.dial(t, b.uri(), map[string]any{"hasVideo": "false"})
			receiver := c.push()
			if found := c.await("ESTABLISHED"); !strings.EqualFold(found.AudioCodec, want) {
				t.Errorf("the call is %+v, want %s", found, want)
			}
			receiver.Wait(t, "two seconds of sound", func() bool { return len(receiver.Tags()) > 100 })
			judgeTone(t, receiver.Tags())
		}
	}
	together(t, scenes)
}

// packets ends the capture and returns the RTP packets in it.
func (c *wireCapture) packets() (packets []phone.Packet) {
	c.t.Helper()
	c.stop()
	for line := range strings.Lines(string(tool(c.t, "tshark", "-r", c.file, "-T", "fields", "-e", "udp.payload"))) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if p, ok := phone.ReadPacket(b); err == nil && ok && (b[1] < 192 || b[1] > 223) { // the others are RTCP
			packets = append(packets, p)
		}
	}
	return packets
}

// judgeWire checks that the pictures of a file are those of the packets on the wire, without a hole.
func judgeWire(t *testing.T, file string, packets []phone.Packet) {
	t.Helper()
	var sent [][]byte
	for _, kind := range []uint8{97, 98} {
		pictures, err := phone.Pictures(packets, kind)
		if err != nil {
			t.Error(err)
		}
		for _, p := range pictures {
			sent = append(sent, pictureNALs(p.NALs)...)
		}
	}
	raw := tool(t, "ffmpeg", "-v", "error", "-i", file, "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", "-")
	var got [][]byte
	for _, nal := range bytes.Split(raw, []byte{0, 0, 1}) {
		got = append(got, pictureNALs([][]byte{bytes.TrimRight(nal, "\x00")})...)
	}
	if len(got) < 100 || len(sent) < len(got) {
		t.Fatalf("%d slices arrived of %d", len(got), len(sent))
	}
	for at := range sent {
		if bytes.Equal(sent[at], got[0]) {
			for i := range got {
				if at+i >= len(sent) || !bytes.Equal(sent[at+i], got[i]) {
					t.Fatalf("slice %d of %d differs from what was sent", i, len(got))
				}
			}
			t.Logf("%d slices of %d arrived byte for byte", len(got), len(sent))
			return
		}
	}
	t.Error("the first slice that arrived was never sent")
}

// pictureNALs returns the NAL units that hold pictures.
func pictureNALs(nals [][]byte) (out [][]byte) {
	for _, nal := range nals {
		if len(nal) > 0 && nal[0]&0x1f >= 1 && nal[0]&0x1f <= 5 {
			out = append(out, bytes.TrimRight(nal, "\x00"))
		}
	}
	return out
}

// judgeFileTone checks the pitch of a second of a file's sound, at the first place that is loud for so long.
func judgeFileTone(t *testing.T, file string, want float64) {
	t.Helper()
	samples, _ := sound(t, file)
	for at := 0; at+soundRate <= len(samples); at += soundRate / 4 {
		pcm := make([]float64, soundRate)
		for i := range pcm {
			pcm[i] = float64(samples[at+i])
		}
		if hz, level := phone.Pitch(pcm, soundRate); level > 0.2 && hz > 0.99*want && hz < 1.01*want {
			return
		}
	}
	t.Errorf("there is no second of %.0f Hz in %s", want, filepath.Base(file))
}

// TLS is verified: a phone with a certificate of an authority that the server trusts is called, one with another is refused before it gets
// an INVITE. SDES encrypts both directions, in calls to the phone and from it.
func TestBaresipSecure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trusted, foreign := writeCertificate(t, dir, "trusted"), writeCertificate(t, dir, "foreign")
	s := startSIPIn(t, []string{"SSL_CERT_FILE=" + trusted}, "sip_srtp=required", "sip_srtp_without_tls=true",
		"sip_first_packet_ms=3000", "sip_listen=true", "sip_incoming_allow=127.0.0.1", "sip_incoming_stream=in-{user}")
	awaitUDP(t, s.sipPort, &s.log)
	together(t, map[string]func(*testing.T){
		"TLS": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{cert: trusted, account: ";mediaenc=srtp-mand"})
			c := s.dial(t, b.secureURI(), map[string]any{"sipTransport": "tls"})
			receiver := c.push()
			c.await("ESTABLISHED")
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) > 50 })
			judgeTone(t, receiver.Tags())
			c.do("/call/terminate", nil)
			b.await("CALL_CLOSED", 1)
		},
		"foreign certificate": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{cert: foreign})
			c := s.dial(t, b.secureURI(), map[string]any{"sipTransport": "tls"})
			if end := c.await("FAILED"); end.Reason != "transport" || !strings.Contains(end.Info, "certificate") {
				t.Errorf("the call ended with %+v", end)
			}
			if strings.Contains(b.log.String(), "ncoming") {
				t.Errorf("the phone was called:\n%s", b.log.String())
			}
		},
		"SDES": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{account: ";mediaenc=srtp-mand"})
			c := s.dial(t, b.uri(), nil)
			receiver := c.push()
			c.await("ESTABLISHED")
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) > 50 })
			judgeTone(t, receiver.Tags())
			if _, found := s.ask(t, "/call/find_all", struct{}{}); strings.Contains(found, "inline") {
				t.Errorf("find shows a key: %s", found)
			}
		},
		"phone without encryption": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{})
			c := s.dial(t, b.uri(), nil)
			if end := c.await("FAILED"); end.Reason != "no_codec" {
				t.Errorf("the call ended with %+v", end)
			}
		},
		"incoming": func(t *testing.T) {
			b := startBaresip(t, baresipConfig{account: ";mediaenc=srtp-mand"})
			b.do("dial", "sip:studio@127.0.0.1:"+s.sipPort)
			b.await("CALL_ESTABLISHED", 1)
			testkit.Eventually(t, 10*time.Second, func() string {
				if code, answer := s.ask(t, "/stream/find", map[string]string{"name": "in-studio"}); code != http.StatusOK {
					return fmt.Sprintf("the stream of the call is not found: %d %s", code, answer)
				}
				return ""
			})
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			if code, answer := s.ask(t, "/push/startup", map[string]any{"streamName": "in-studio", "rtmpUrl": receiver.URL("live")}); code != http.StatusOK {
				t.Fatalf("push/startup answers %d %s", code, answer)
			}
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) > 50 })
			judgeTone(t, receiver.Tags())
			b.do("hangup", "")
			testkit.Eventually(t, 10*time.Second, func() string {
				if code, _ := s.ask(t, "/stream/find", map[string]string{"name": "in-studio"}); code != http.StatusNotFound {
					return "the stream is still there"
				}
				return ""
			})
		},
	})
	const refused = "transponder_sip_packets_refused_total"
	// In each call baresip opens NATs by two RTCP packets that are not encrypted, and its last RTCP packets have no key any more.
	if n := s.metric(t, refused, `"srtp"`); n > 3*4 {
		t.Errorf("%v packets of phones do not open with their keys", n)
	}
	together(t, map[string]func(*testing.T){
		"wrong key": func(t *testing.T) {
			p := phone.New(t, phone.Config{})
			c := s.dial(t, p.URI(someone()), map[string]any{"hasVideo": "false"})
			audio := phone.NewStream(t)
			invite := p.Await("INVITE")
			offered, _ := phone.Of(phone.ReadSDP(invite.Body), "audio")
			cryptos := offered.Attribute("crypto")
			if len(cryptos) == 0 || offered.Proto != "RTP/SAVP" {
				t.Fatalf("the offer is\n%s", invite.Body)
			}
			const said = "1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
			const used = "1 AES_CM_128_HMAC_SHA1_80 inline:HRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
			call := p.Accept(invite, phone.Plan{Audio: audio, Rewrite: func(sdp string) string {
				return strings.Replace(sdp, "a=sendrecv", "a=crypto:"+said+"\r\na=sendrecv", 1)
			}})
			call.Await("ACK")
			audio.Protect(used, cryptos[0])
			audio.Play(&phone.Sound{Type: call.AudioType, SSRC: 1, Payload: phone.Tone(440, false, nil)}, phone.Reports{})
			audio.Wait("silence under the server's key", func() bool { return len(audio.Packets()) > 25 })
			if end := c.await("FAILED"); end.Reason != "media_timeout" || end.PacketsRefused < 50 {
				t.Errorf("the call ended with %+v", end)
			}
			if n := s.metric(t, refused, `"srtp"`); n < 100 {
				t.Errorf("%v packets under a wrong key are counted", n)
			}
			if n := audio.Strange(); n != 0 {
				t.Errorf("%d packets of the server do not open with the key of its offer", n)
			}
		},
	})
}

// secureURI returns the address to call over TLS.
func (b *baresip) secureURI() string {
	b.t.Helper()
	var port int
	fmt.Sscan(b.port, &port)
	return fmt.Sprintf("sip:bob@127.0.0.1:%d;transport=tls", port+1)
}

// writeCertificate writes a certificate for 127.0.0.1 that signs itself, and its key, into one file.
func writeCertificate(t *testing.T, dir, name string) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, name+".pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
