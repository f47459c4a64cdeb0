//go:build e2e

package e2e

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Pictures of phones arrive as they were sent, whatever SDP and packets the phones write.
func TestSIPPictures(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	scenes := map[string]func(*testing.T){}
	for _, tt := range pictureShapes {
		scenes[tt.name] = func(t *testing.T) {
			k := prepare(t, s, nil)
			if tt.prepare != nil {
				tt.prepare(k)
			}
			plan := k.plan()
			plan.Rewrite = tt.sdp
			k.answer(plan)
			if tt.sends != 0 {
				k.picture.Type = tt.sends
			}
			k.play(phone.Reports{Every: time.Second})
			k.awaitPictures(75) // more than the 2 s of a GOP
			if missing := judgeUntouched(t, k.receiver.Tags(), k.picture.Sent()); missing != 0 {
				t.Errorf("%d pictures are missing", missing)
			}
			judgeTone(t, k.receiver.Tags())
			judgeKeyFrames(t, k.receiver.Tags(), k.picture.FPS)
			found := k.await("ESTABLISHED")
			if !found.HasVideo || !found.HasAudio {
				t.Errorf("find says %+v", found)
			}
		}
	}
	together(t, scenes)
}

// pictureShapes are the ways in which phones write and send H.264.
var pictureShapes = []struct {
	name    string
	prepare func(*talk)
	sdp     func(string) string // changes the phone's answer
	sends   uint8               // the payload type that it sends; 0: as agreed
}{
	{name: "mode 1 with FU-A"},
	{name: "two slices", prepare: func(k *talk) { k.picture.Units = twoSlices(k.picture.Units) }},
	{
		name: "mode 0", prepare: func(k *talk) { k.picture.Whole = true },
		sdp: func(sdp string) string {
			return strings.ReplaceAll(sdp, "packetization-mode=1", "packetization-mode=0")
		},
	},
	{
		name: "absent mode", prepare: func(k *talk) { k.picture.Whole = true },
		sdp: func(sdp string) string { return strings.ReplaceAll(sdp, ";packetization-mode=1", "") },
	},
	{
		name: "sets in the SDP only", prepare: func(k *talk) { k.picture.NoSets = true },
		sdp: func(sdp string) string {
			sets := base64.StdEncoding.EncodeToString(testkit.SyntheticSPS) + "," + base64.StdEncoding.EncodeToString(testkit.SyntheticPPS)
			return strings.ReplaceAll(sdp, "packetization-mode=1", "packetization-mode=1;sprop-parameter-sets="+sets)
		},
	},
	{
		name: "high profile",
		sdp: func(sdp string) string {
			return regexp.MustCompile(`profile-level-id=\w+`).ReplaceAllString(sdp, "profile-level-id=64001f")
		},
	},
	{name: "no feedback in the SDP", sdp: withoutFeedback},
	{
		// The phone wants to receive under 96 and sends so, too, although the offer has another number.
		name: "another type than offered", sends: 96, sdp: func(sdp string) string { return renumberVideo(sdp, "96") },
	},
	{
		// Without BUNDLE, both sections may use one number.
		name: "one type for both", prepare: func(k *talk) { k.sound.Events = 0 }, sends: 0,
		sdp: func(sdp string) string { return renumberVideo(sdp, "101") },
	},
}

func withoutFeedback(sdp string) string {
	return regexp.MustCompile(`a=rtcp-fb[^\n]*\n`).ReplaceAllString(sdp, "")
}

// renumberVideo changes the payload type of the video section.
func renumberVideo(sdp, number string) string {
	audio, video, _ := strings.Cut(sdp, "m=video")
	old := strings.Fields(video)[2]
	video = strings.Replace(video, "RTP/AVP "+old, "RTP/AVP "+number, 1)
	for _, name := range []string{"rtpmap", "fmtp", "rtcp-fb"} {
		video = strings.ReplaceAll(video, "a="+name+":"+old+" ", "a="+name+":"+number+" ")
	}
	return audio + "m=video" + video
}

// twoSlices gives each picture a second slice. Its first macroblock is not the picture's first (ITU-T H.264, 7.3.3).
func twoSlices(units []testkit.Unit) (out []testkit.Unit) {
	for _, u := range units {
		last := u.NALs[len(u.NALs)-1]
		first, second := append([]byte{}, last...), append([]byte{}, last...)
		first[1] |= 0x80
		second[1] &= 0x7f
		nals := append(append([][]byte{}, u.NALs[:len(u.NALs)-1]...), first, second)
		out = append(out, testkit.Unit{NALs: nals, Key: u.Key})
	}
	return out
}

// judgeKeyFrames checks that a key frame came every two seconds and one picture.
func judgeKeyFrames(t *testing.T, tags []testkit.Tag, fps int) {
	t.Helper()
	most := 2*time.Second + time.Second/time.Duration(fps) + busy
	var last, longest time.Duration
	for i, p := range numbered(tags) {
		if i == 0 {
			last = p.at
		}
		longest = max(longest, p.at-last)
		if p.key {
			last = p.at
		}
	}
	if longest > most {
		t.Errorf("%v without a key frame, want at most %v", longest, most)
	}
	t.Logf("at most %v between key frames", longest)
}

// Key frames are asked for in all the ways that phones know.
func TestSIPKeyFrames(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	together(t, map[string]func(*testing.T){
		"the first packets are lost": func(t *testing.T) {
			k := prepare(t, s, nil)
			plan := k.plan()
			plan.Rewrite = withoutFeedback // a PLI comes even so
			k.answer(plan)
			k.video.Network = func(n int, _ phone.Packet) (copies, after int) {
				if n < 30 {
					return 0, 0
				}
				return 1, 0
			}
			k.play(phone.Reports{Every: time.Second})
			k.video.Wait("a request for a key frame", func() bool { return len(k.video.Requests()) > 0 })
			k.awaitPictures(1)
			request, lost := k.video.Requests()[0], k.lostUntil(30)
			if request.FIR || request.SSRC != k.picture.SSRC {
				t.Errorf("the first request is %+v, want a PLI for %x", request, k.picture.SSRC)
			}
			if after := request.At.Sub(lost); after > 100*time.Millisecond+busy {
				t.Errorf("the PLI came %v after the first picture that arrived, want 100 ms at most", after)
			} else {
				t.Logf("the PLI came %v after the first picture that arrived", after)
			}
		},
		"deaf to PLI": func(t *testing.T) { judgeInfo(t, s, 200) },
		"deaf to all": func(t *testing.T) { judgeInfo(t, s, 488) },
	})
}

// lostUntil returns when the n-th packet of the picture was sent.
func (k *talk) lostUntil(n int) time.Time {
	for _, shown := range k.picture.Sent() {
		for _, nal := range shown.NALs {
			if n -= (len(nal) + 1197) / 1198; n < 0 {
				return k.started.Add(shown.At)
			}
		}
	}
	return time.Time{}
}

// judgeInfo has a phone ignore PLI and FIR, and answer INFO with a code: with 200 it sends a key frame.
func judgeInfo(t *testing.T, s *server, code int) {
	var infos []*phone.Message
	var k *talk
	came := make(chan struct{}, 100)
	k = prepareOn(t, s, phone.Config{Handle: func(m *phone.Message) bool {
		if m.Method != "INFO" {
			return false
		}
		infos = append(infos, m)
		k.phone.TryReply(m, phone.Reply{Code: code})
		if code == 200 {
			k.video.Refresh()
		}
		came <- struct{}{}
		return true
	}}, nil)
	k.video.Deaf(true)
	k.video.Network = func(n int, _ phone.Packet) (copies, after int) {
		if n < 30 {
			return 0, 0
		}
		return 1, 0
	}
	k.answer(k.plan())
	k.play(phone.Reports{Every: time.Second})
	await := func(limit time.Duration) bool {
		select {
		case <-came:
			return true
		case <-time.After(limit):
			return false
		}
	}
	if !await(10 * time.Second) {
		t.Fatal("no INFO came")
	}
	first := infos[0]
	if after := first.At.Sub(k.lostUntil(30)); after < 900*time.Millisecond || after > 1600*time.Millisecond+busy {
		t.Errorf("the INFO came %v after the first packet, want a second", after)
	}
	if first.Header("Content-Type") != "application/media_control+xml" || !strings.Contains(first.Body, "picture_fast_update") {
		t.Errorf("the INFO is %s", first.Raw)
	}
	if code == 200 {
		k.awaitPictures(25)
		return
	}
	if !await(5 * time.Second) {
		t.Fatal("no second INFO came")
	}
	if gap := infos[1].At.Sub(infos[0].At); gap < 1900*time.Millisecond {
		t.Errorf("the second INFO came %v after the first, want 2 s", gap)
	}
	if await(4 * time.Second) {
		t.Error("a third INFO came after two refusals")
	}
	k.scene.await("ESTABLISHED")
}
