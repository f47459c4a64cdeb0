package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// floor serves WHIP until ctx ends, and prints what it received.
func floor(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("floor", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:19380", "WHIP address")
	level := flags.String("interceptors", "default", "none, basic (NACK and reports) or default (pion's whole set)")
	mux := flags.String("udp-mux", "", "one UDP address for all streams; empty: a socket a stream")
	_ = flags.Parse(args) // exits on an error

	api, err := floorAPI(*level, *mux)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := &floorServer{api: api}
	err = s.serve(ctx, listener)
	fmt.Fprintf(out, "packets %d, frames %d, gaps %d\n", s.packets.Load(), s.frames.Load(), s.gaps.Load())
	return err
}

// floorServer accepts WHIP publishers, reads their RTP, joins H.264 access units and discards them.
type floorServer struct {
	api                   *webrtc.API
	packets, frames, gaps atomic.Int64

	mu    sync.Mutex
	peers []*webrtc.PeerConnection // guarded by mu
}

// serve accepts publishers until ctx ends.
func (s *floorServer) serve(ctx context.Context, listener net.Listener) error {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /{name}/whip", s.whip)
	routes.HandleFunc("DELETE /{name}/whip", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, peer := range s.peers {
		err = errors.Join(err, peer.GracefulClose())
	}
	return err
}

func floorAPI(level, mux string) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	var err error
	switch level {
	case "none":
	case "basic":
		err = errors.Join(webrtc.ConfigureNack(m, registry), webrtc.ConfigureRTCPReports(registry))
	case "default":
		err = webrtc.RegisterDefaultInterceptors(m, registry)
	default:
		err = fmt.Errorf("no such interceptors: %q", level)
	}
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	if mux != "" {
		addr, err := net.ResolveUDPAddr("udp4", mux)
		if err != nil {
			return nil, err
		}
		conn, err := net.ListenUDP("udp4", addr)
		if err != nil {
			return nil, err
		}
		settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, conn))
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings)), nil
}

func (s *floorServer) whip(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<18))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := s.answer(r.Context(), string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", r.URL.Path)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

func (s *floorServer) answer(ctx context.Context, offer string) (string, error) {
	peer, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.peers = append(s.peers, peer)
	s.mu.Unlock()
	peer.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { s.read(t) })
	if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(answer); err != nil {
		return "", err
	}
	select {
	case <-gathered:
		return peer.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// read reads the packets of a track until it ends.
func (s *floorServer) read(t *webrtc.TrackRemote) {
	var (
		buf    = make([]byte, 1500)
		packet rtp.Packet
		h264   codecs.H264Packet
		unit   []byte
		next   uint16
		begun  bool
	)
	for {
		n, _, err := t.Read(buf)
		if err != nil {
			return
		}
		if err := packet.Unmarshal(buf[:n]); err != nil {
			continue
		}
		s.packets.Add(1)
		if begun && packet.SequenceNumber != next {
			s.gaps.Add(1)
		}
		begun, next = true, packet.SequenceNumber+1
		if t.Kind() != webrtc.RTPCodecTypeVideo {
			continue
		}
		part, err := h264.Unmarshal(packet.Payload)
		if err != nil {
			continue
		}
		unit = append(unit, part...)
		if packet.Marker {
			s.frames.Add(1)
			unit = unit[:0]
		}
	}
}
