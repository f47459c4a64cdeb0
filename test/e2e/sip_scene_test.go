//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// startSIP starts a server that may make as many calls as the tests like. Its log, at the level of debugging, must show no password and no
// key of SRTP at the end.
func startSIP(t *testing.T, settings ...string) *server {
	t.Helper()
	return startSIPIn(t, nil, settings...)
}

// startSIPIn is startSIP with more of an environment.
func startSIPIn(t *testing.T, environment []string, settings ...string) *server {
	t.Helper()
	settings = append([]string{"sip_port=" + strconv.Itoa(testkit.FreePorts(t, 2)), "sip_startup_rate=6000"}, settings...)
	s := startServerIn(t, environment, settings...)
	t.Cleanup(func() {
		log := s.log.String()
		for _, secret := range []string{sipPassword, "inline:"} {
			if i := strings.Index(log, secret); i >= 0 {
				t.Errorf("the log shows a secret: …%s…", log[max(0, i-200):min(len(log), i+50)])
			}
		}
	})
	return s
}

// busy is how late a busy machine may be, and stall how long it may stand still. On an idle one, all is in time within a few milliseconds.
const (
	busy  = 150 * time.Millisecond
	stall = 500 * time.Millisecond
)

// together runs scenes at once, since most of the time they wait.
func together(t *testing.T, scenes map[string]func(*testing.T)) {
	t.Helper()
	var all sync.WaitGroup
	for name, scene := range scenes {
		all.Go(func() { t.Run(name, scene) })
	}
	all.Wait()
}

// ask calls a REST method for a scene, and returns the status and the answer.
func (s *server) ask(t *testing.T, method string, body any) (code int, answer string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(s.rest+method, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// sipInfo is what the tests read of a call.
type sipInfo struct {
	CallID           string `json:"callId"`
	Status           string `json:"status"`
	SIPStatus        int    `json:"sipStatus"`
	Reason           string `json:"reason"`
	Info             string `json:"info"`
	StreamName       string `json:"streamName"`
	RTMPStreamStatus string `json:"rtmpStreamStatus"`
	HasAudio         bool   `json:"hasAudio"`
	HasVideo         bool   `json:"hasVideo"`
	AudioCodec       string `json:"audioCodec"`
	VideoCodec       string `json:"videoCodec"`
	PacketsReceived  int64  `json:"packetsReceived"`
	PacketsLost      int64  `json:"packetsLost"`
	PacketsRefused   int64  `json:"packetsRefused"`
	Digits           string `json:"digits"`
}

// scene is a call of a test.
type scene struct {
	t  *testing.T
	s  *server
	id string
}

var sceneNumber, calleeNumber atomic.Int64

// someone returns a user that nobody else calls: calls to one callee have a limit.
func someone() string { return fmt.Sprintf("user%d", calleeNumber.Add(1)) }

// sipPassword is a secret that must not be seen.
const sipPassword = "caNAry7sip31"

// dial asks for a call to a phone. The callId is the name of the stream, too. fields change or add to the request.
func (s *server) dial(t *testing.T, callee string, fields map[string]any) *scene {
	t.Helper()
	c := &scene{t: t, s: s, id: fmt.Sprintf("scene%d", sceneNumber.Add(1))}
	body := map[string]any{
		"callId": c.id, "callee": callee, "toStream": c.id, "hasAudio": "true", "hasVideo": "true", "sipLogin": "alice",
		"sipDomain": "example.test", "sipPassword": sipPassword,
	}
	for key, value := range fields {
		body[key] = value
	}
	if code, answer := s.ask(t, "/call/startup", body); code != http.StatusOK || answer != "" {
		t.Fatalf("startup answers %d %q, want 200 and nothing", code, answer)
	}
	t.Cleanup(c.cleanUp)
	return c
}

// cleanUp ends the call if it still lasts, and shows it if the test has failed.
func (c *scene) cleanUp() {
	client := http.Client{Timeout: 5 * time.Second}
	for _, method := range []string{"/call/find", "/call/terminate"} {
		resp, err := client.Post(c.s.rest+method, "application/json", strings.NewReader(`{"callId":"`+c.id+`"}`))
		if err != nil {
			return // the server has ended
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if c.t.Failed() && method == "/call/find" {
			c.t.Logf("the call is %s", text)
		}
	}
}

// info returns what the server says of the call; ok is false if there is none.
func (c *scene) info() (found sipInfo, ok bool) {
	c.t.Helper()
	var all []sipInfo
	c.find("/call/find", map[string]string{"callId": c.id}, &all)
	if len(all) == 0 {
		return found, false
	}
	return all[0], true
}

// find decodes what a method finds into all, which stays empty if there is nothing.
func (c *scene) find(method string, filter, all any) {
	c.t.Helper()
	code, answer := c.s.ask(c.t, method, filter)
	if code == http.StatusNotFound {
		return
	}
	if err := json.Unmarshal([]byte(answer), all); err != nil || code != http.StatusOK {
		c.t.Fatalf("%s answers %d %s: %v", method, code, answer, err)
	}
}

// await waits until the call has a status.
func (c *scene) await(status string) sipInfo {
	c.t.Helper()
	return c.awaitFor(status, 15*time.Second)
}

func (c *scene) awaitFor(status string, limit time.Duration) (found sipInfo) {
	c.t.Helper()
	testkit.Eventually(c.t, limit, func() string {
		var ok bool
		if found, ok = c.info(); !ok || found.Status != status {
			return fmt.Sprintf("the call is %+v, want %s", found, status)
		}
		return ""
	})
	return found
}

// push pushes the call's stream to a receiver, which it returns.
func (c *scene) push() *testkit.RTMPServer {
	c.t.Helper()
	receiver := testkit.NewRTMPServer(c.t, testkit.Script{})
	c.pushTo(receiver.URL("live"))
	return receiver
}

func (c *scene) pushTo(url string) {
	c.t.Helper()
	if code, answer := c.s.ask(c.t, "/push/startup", map[string]any{"streamName": c.id, "rtmpUrl": url}); code != http.StatusOK {
		c.t.Fatalf("push/startup answers %d %s", code, answer)
	}
}

// do calls a method of the call and wants 200.
func (c *scene) do(method string, fields map[string]any) {
	c.t.Helper()
	body := map[string]any{"callId": c.id}
	for key, value := range fields {
		body[key] = value
	}
	if code, answer := c.s.ask(c.t, method, body); code != http.StatusOK {
		c.t.Errorf("%s answers %d %s", method, code, answer)
	}
}

// talk is a call to a scripted phone that has answered, and sends a tone and pictures.
type talk struct {
	*scene
	phone    *phone.Phone
	call     *phone.Call
	audio    *phone.Stream
	video    *phone.Stream
	sound    *phone.Sound
	picture  *phone.Picture
	receiver *testkit.RTMPServer
	started  time.Time // of play
	stops    []func()  // end what play has begun
}

// prepare makes a phone, calls it, and starts a push. The phone has not answered yet.
func prepare(t *testing.T, s *server, fields map[string]any) *talk {
	t.Helper()
	return prepareOn(t, s, phone.Config{}, fields)
}

// prepareOn is prepare with a phone of a configuration.
func prepareOn(t *testing.T, s *server, cfg phone.Config, fields map[string]any) *talk {
	t.Helper()
	p := phone.New(t, cfg)
	k := &talk{phone: p, audio: phone.NewStream(t), video: phone.NewStream(t)}
	k.scene = s.dial(t, p.URI(someone()), fields)
	k.receiver = k.push()
	k.sound = &phone.Sound{SSRC: 0x1111, Seq: 65500, Start: 1 << 31, Payload: phone.Tone(440, false, nil)}
	k.picture = &phone.Picture{SSRC: 0x2222, Seq: 65400, Start: 1<<32 - 90000, FPS: 25, Units: testkit.SyntheticUnits(50, 3000), Once: true}
	return k
}

// plan answers with both streams.
func (k *talk) plan() phone.Plan { return phone.Plan{Audio: k.audio, Video: k.video} }

// answer answers the call.
func (k *talk) answer(plan phone.Plan) {
	k.t.Helper()
	k.call = k.phone.Answer(plan)
	k.answered()
}

// answered notes the payload types.
func (k *talk) answered() {
	k.sound.Type, k.sound.Events, k.picture.Type = k.call.AudioType, k.call.Events, k.call.VideoType
}

// play sends sound and pictures.
func (k *talk) play(reports phone.Reports) {
	if now := time.Now(); !k.started.IsZero() { // the phone's clock has gone on
		pause := now.Sub(k.started)
		k.sound.Start += uint32(pause * 8000 / time.Second)
		k.picture.Start += uint32(pause * 90000 / time.Second)
	}
	k.started = time.Now()
	k.stops = []func(){k.audio.PlayFrom(k.started, k.sound, reports), k.video.PlayFrom(k.started, k.picture, reports)}
}

// talking is a call that was answered, with media that reaches the receiver.
func talking(t *testing.T, s *server, fields map[string]any) *talk {
	t.Helper()
	k := prepare(t, s, fields)
	k.answer(k.plan())
	k.play(phone.Reports{Every: time.Second})
	k.awaitPictures(1)
	return k
}

// awaitPictures waits for so many more pictures at the receiver.
func (k *talk) awaitPictures(n int) {
	k.t.Helper()
	before := len(numbered(k.receiver.Tags()))
	k.receiver.Wait(k.t, fmt.Sprintf("%d more pictures", n), func() bool { return len(numbered(k.receiver.Tags())) >= before+n })
}

// arrived is a picture of a scripted phone at the receiver.
type arrived struct {
	number int64
	at     time.Duration
	key    bool
	nals   [][]byte
}

// numbered returns the pictures among tags that have a number.
func numbered(tags []testkit.Tag) (out []arrived) {
	for _, tag := range tags {
		number, ok := testkit.FrameNumber(tag.Data)
		if !tag.Video || tag.Header || !ok {
			continue
		}
		a := arrived{number: number, at: tag.Time, key: tag.Key}
		for rest := tag.Data; len(rest) > 4; {
			n := int(binary.BigEndian.Uint32(rest))
			if n > len(rest)-4 {
				break
			}
			a.nals = append(a.nals, rest[4:4+n])
			rest = rest[4+n:]
		}
		out = append(out, a)
	}
	return out
}

// judgeUntouched checks that the pictures that arrived are those that were sent, byte for byte, and returns how many numbers are missing
// between them.
func judgeUntouched(t *testing.T, tags []testkit.Tag, sent []phone.Shown) (missing int64) {
	t.Helper()
	pictures := numbered(tags)
	if len(pictures) == 0 {
		t.Error("no picture arrived")
		return 0
	}
	slices.SortFunc(sent, func(a, b phone.Shown) int { return int(a.Number - b.Number) })
	if !pictures[0].key {
		t.Error("the first picture is no key frame")
	}
	last := pictures[0].number - 1
	for _, p := range pictures {
		if p.number <= last {
			t.Errorf("picture %d follows %d", p.number, last)
		}
		missing += p.number - last - 1
		last = p.number
		i, ok := slices.BinarySearchFunc(sent, p.number, func(s phone.Shown, n int64) int { return int(s.Number - n) })
		if !ok {
			t.Errorf("picture %d was never sent", p.number)
			continue
		}
		if got, want := content(p.nals), content(sent[i].NALs); !bytes.Equal(got, want) {
			t.Errorf("picture %d has %d bytes that differ from the %d that were sent", p.number, len(got), len(want))
			return missing
		}
	}
	return missing
}

// content returns the NAL units but for the parameter sets, which RTMP has elsewhere, and delimiters.
func content(nals [][]byte) []byte {
	var b []byte
	for _, nal := range nals {
		switch nal[0] & 0x1f {
		case 7, 8, 9:
		default:
			b = append(b, 0, 0, 0, 1)
			b = append(b, nal...)
		}
	}
	return b
}

// judgeTone decodes the end of the sound that arrived, and checks that it is 440 Hz: in one of the last four thirds of a second, since a
// machine that stands still for a moment leaves a click.
func judgeTone(t *testing.T, tags []testkit.Tag) {
	t.Helper()
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag testkit.Tag) bool { return tag.Video || tag.Header })
	const third = 16 // packets
	var hz, level float64
	for end := len(tags); end >= 2*third && end > len(tags)-4*third; end -= third {
		pcm := decodeAAC(t, tags[end-2*third:end])
		left := make([]float64, 0, len(pcm)/2)
		for i := len(pcm) / 2; i < len(pcm); i += 2 { // the decoder needs a moment
			left = append(left, float64(pcm[i]))
		}
		// Within 1 %: sound that is late is played faster by up to 0.5 %.
		if hz, level = phone.Pitch(left, soundRate); hz > 435.6 && hz < 444.4 && level > 0.4 {
			return
		}
	}
	t.Errorf("%d packets of sound, at last %.1f Hz and a level of %.2f, want 440 and 0.5", len(tags), hz, level)
}

// metric returns a number of the metrics: the sum of the lines that begin with a name and contain a label.
func (s *server) metric(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.page, "/") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var value float64
		words := strings.Fields(line)
		if strings.HasPrefix(line, name) && strings.Contains(line, label) && len(words) == 2 {
			fmt.Sscan(words[1], &value)
			sum += value
		}
	}
	return sum
}
