package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"transponder/pkg/client"
)

// server stands for a Transponder here.
func server() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/rest-api/push/startup":
			_, _ = io.WriteString(w, `{"mediaSessionId":"eume87rj","status":"STARTING"}`)
		case "/rest-api/push/events":
			_, _ = io.WriteString(w, "id: r-1\nevent: push\ndata: {\"id\":\"eume87rj\",\"to\":\"PUBLISHING\"}\n\n")
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"Transponder not found"}`)
		}
	}))
}

func Example() {
	srv := server()
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.New(srv.URL, client.WithToken("tpk_secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	push, err := c.StartPush(ctx, client.StartPush{
		StreamName: "hall", RTMPURL: "destination://youtube-main",
		Options: &client.StartPushOptions{OnSourceLoss: "hold", HoldMs: new(int64(20_000))},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(push.MediaSessionID, push.Status)
	for e, err := range c.Events(ctx, client.EventFilter{After: "0", MediaSessionID: push.MediaSessionID}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if e.Push != nil && e.Push.To == client.PushStatusPublishing {
			fmt.Println("on air")
			break
		}
	}
	if err := c.TerminatePush(ctx, "another"); client.Status(err) == http.StatusNotFound {
		fmt.Println(err)
	}
	// Output:
	// eume87rj STARTING
	// on air
	// Transponder not found
}
