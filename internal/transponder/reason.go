package transponder

// Class groups reasons by who can do something about them.
type Class string

// The classes of reason.
const (
	Permanent  Class = "permanent" // the same request will fail again
	Transient  Class = "transient" // it may work later
	Policy     Class = "policy"    // the rules of this server forbid it
	FromSource Class = "source"    // the cause is the stream that is pushed
	Operator   Class = "operator"  // somebody asked for it
)

// Reason is why a push is not live. The list is closed.
type Reason string

// The reasons.
const (
	ReasonNone        Reason = ""
	ReasonDNS         Reason = "dns"
	ReasonRefused     Reason = "tcp_refused"
	ReasonUnreachable Reason = "unreachable"
	ReasonTimeout     Reason = "timeout"
	ReasonTLS         Reason = "tls"
	ReasonTLSVerify   Reason = "tls_verify"
	ReasonHandshake   Reason = "rtmp_handshake"
	ReasonProtocol    Reason = "rtmp_protocol"
	ReasonAuth        Reason = "auth_rejected"
	ReasonBadApp      Reason = "bad_app"
	ReasonKeyInUse    Reason = "key_in_use"
	ReasonKeyRejected Reason = "key_rejected"
	ReasonPeerClosed  Reason = "peer_closed"
	ReasonPeerStalled Reason = "peer_stalled"
	ReasonPeerSlow    Reason = "peer_slow"
	ReasonAddressDown Reason = "address_down" // one of several addresses gets no stream
	ReasonSourceLost  Reason = "source_lost"
	ReasonNoMedia     Reason = "source_no_media"
	ReasonNoKeyFrame  Reason = "source_no_keyframe"
	ReasonNoVideo     Reason = "source_no_video"
	ReasonNoAudio     Reason = "source_no_audio"
	ReasonUnusable    Reason = "source_unusable"
	ReasonBFrames     Reason = "source_b_frames"
	ReasonCodec       Reason = "codec_unsupported"
	ReasonTranscoder  Reason = "transcoder_failed"
	ReasonTooSlow     Reason = "transcoder_slow"
	ReasonNoCapacity  Reason = "no_capacity"
	ReasonForbidden   Reason = "target_forbidden" // the TargetPolicy forbids the address
	ReasonTerminated  Reason = "terminated"
	ReasonShutdown    Reason = "shutdown"
	ReasonRestarted   Reason = "restarted"      // this server was restarted; the push waits for its publisher
	ReasonNodeLost    Reason = "node_lost"      // the server that had the push is gone
	ReasonMoved       Reason = "moved"          // another server has the push now
	ReasonExpired     Reason = "resume_expired" // the publisher did not come back in time after a restart
	ReasonInternal    Reason = "internal"
)

var classes = map[Reason]Class{
	ReasonDNS: Transient, ReasonRefused: Transient, ReasonUnreachable: Transient, ReasonTimeout: Transient,
	ReasonTLS: Transient, ReasonTLSVerify: Permanent, ReasonHandshake: Transient, ReasonProtocol: Transient,
	ReasonAuth: Permanent, ReasonBadApp: Permanent, ReasonKeyInUse: Permanent, ReasonKeyRejected: Permanent,
	ReasonPeerClosed: Transient, ReasonPeerStalled: Transient, ReasonPeerSlow: Transient, ReasonAddressDown: Transient,
	ReasonSourceLost: FromSource, ReasonNoMedia: FromSource, ReasonNoKeyFrame: FromSource,
	ReasonNoVideo: FromSource, ReasonNoAudio: FromSource, ReasonUnusable: FromSource, ReasonBFrames: FromSource, ReasonCodec: FromSource,
	ReasonTranscoder: Transient, ReasonTooSlow: Transient, ReasonNoCapacity: Transient,
	ReasonTerminated: Operator, ReasonShutdown: Operator,
	ReasonRestarted: Transient, ReasonNodeLost: Transient, ReasonMoved: Transient, ReasonExpired: FromSource,
	ReasonForbidden: Policy,
	ReasonInternal:  Permanent,
}

// Class returns the class of the reason; "" for ReasonNone.
func (r Reason) Class() Class { return classes[r] }
