//go:build e2e

package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"transponder/internal/testkit"
)

// announced is what a publisher says of an address to its server.
type announced struct{ App, TCURL, Name string }

// announcedTo reads it, with the server's own address cut off: "rtmp://127.0.0.1:1935".
func announcedTo(server *testkit.RTMPServer) announced {
	var a announced
	if said := server.Connects(); len(said) > 0 {
		a.App, _ = said[0]["app"].(string)
		tcURL, _ := said[0]["tcUrl"].(string)
		a.TCURL = strings.TrimPrefix(tcURL, strings.TrimSuffix(server.URL(""), "/"))
	}
	for _, call := range server.Calls() {
		if name, ok := strings.CutPrefix(call, "publish('"); ok {
			a.Name = strings.TrimSuffix(name, "')")
		}
	}
	return a
}

// A full URL is taken apart as the ffmpeg command does it, but where that breaks the keys of known services.
func TestFullURLsAsFFmpeg(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	publishPictures(t, s, "urls", 320, 180, 30)
	for _, tt := range []struct {
		path string
		want announced // the zero value: as FFmpeg
		why  string    // it is not as FFmpeg
	}{
		{path: "live/KEY"},
		{path: "live/KEY?token=t&x=1"},
		{path: "live2?backup=1/KEY"},                                // YouTube's second server
		{path: "live?vhost=a.example/KEY"},                          // SRS
		{path: "live/KEY?vhost=a.example"},                          // SRS
		{path: "live...vhost...a.example/KEY"},                      // SRS
		{path: "kLive?p=1&e=0_a&i=0&t=tok/0_a_1"},                   // Kaltura
		{path: "live-bvc/?streamname=live_1&key=abc&schedule=rtmp"}, // Bilibili
		{path: "app/inst/KEY"},                                      // Adobe's, Wowza's instances
		{path: "app/_definst_/KEY"},                                 //
		{path: "live/5c3d/default"},                                 // Azure
		{path: "EntryPoint/name_1_200@12345"},                       // Akamai
		{path: "live/mp4:folder/name"},                              // Adobe
		{path: "live/?user=u&pass=p/KEY"},                           // parameters as the contract writes them, with a key
		{path: "live/inst?x=1/KEY?y=2"},                             // a query each
		{path: "live?x=1/KEY?y=2"},                                  //
		{path: "live?x=a/b/KEY"},                                    //
		{path: "?x=1/KEY"},                                          //
		{path: "/live/KEY"},                                         //
		{path: "a%20b/%C3%A4?x=%2F"},                                //
		{path: "live;v=1/k;w=2"},                                    //
		{path: "live/KEY#1"},                                        //
		{path: "live/KEY&x=1"},                                      //
		{path: "live/KEY?u=rtmp://x/y/"},                            //
		{path: "app/KEY?a=b/c", want: announced{"app", "/app", "KEY?a=b/c"}, why: "signatures in base64 have slashes; FFmpeg makes c the name"},
		{path: "a/b/c/KEY", want: announced{"a/b/c", "/a/b/c", "KEY"}, why: "OBS and GStreamer take the last part too; FFmpeg makes c/KEY the name"},
		{path: "live/inst/?x=1/KEY", want: announced{"live/inst/?x=1", "/live/inst/?x=1", "KEY"}, why: "as without an instance; FFmpeg makes ?x=1/KEY the name"},
		{path: "live//KEY", want: announced{"live", "/live", "KEY"}, why: "an application's last slash is never sent"},
		{path: "live/KEY.mp4", want: announced{"live", "/live", "KEY.mp4"}, why: "names are sent as they are; FFmpeg makes it mp4:KEY.mp4 for Adobe's players"},
		{path: "live/KEY.flv", want: announced{"live", "/live", "KEY.flv"}, why: "likewise"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			script := testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"}
			ours, theirs := testkit.NewRTMPServer(t, script), testkit.NewRTMPServer(t, script)
			body := map[string]any{"streamName": "urls", "rtmpUrl": ours.URL(tt.path), "rtmpTransponderFullUrl": true}
			if code := s.post("/push/startup", body, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			want := tt.want
			if tt.why == "" {
				out, err := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-f", "lavfi", "-i", "anullsrc", "-t", "0.1",
					"-c:a", "aac", "-f", "flv", theirs.URL(tt.path)).CombinedOutput()
				if want = announcedTo(theirs); want.Name == "" {
					t.Fatalf("ffmpeg published nothing (%v): %s", err, out)
				}
			}
			ours.Wait(t, "publish", func() bool { return announcedTo(ours).Name != "" })
			if got := announcedTo(ours); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	for _, path := range []string{"", "live/", "live2/KEY/", "app/inst/"} {
		body := map[string]any{"streamName": "urls", "rtmpUrl": "rtmp://127.0.0.1:1/" + path, "rtmpTransponderFullUrl": true}
		if code := s.post("/push/startup", body, nil); code != http.StatusBadRequest {
			t.Errorf("startup to /%s answers %d, want 400", path, code)
		}
	}
}
