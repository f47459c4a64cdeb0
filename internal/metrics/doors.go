package metrics

import "transponder/internal/rtc"

// WebSocketStats are the figures of the Web SDK's door: those of wcs.Stats.
type WebSocketStats struct {
	Sessions   int   // sockets that are open now
	Kept       int64 // sessions that wait for their browser to return
	Publishers int64 // streams that are published now
	Players    int64 // players that play now
	Accepted   int64 // sockets that were accepted since the start
	Received   int64 // messages from browsers
	Sent       int64 // messages to browsers
	Ignored    int64 // received messages that are not part of the protocol
	Floods     int64 // sockets closed because the browser sent too much
	Slow       int64 // sockets closed because the browser did not take its messages
	Silent     int64 // sockets closed because the browser answered no pings
	Panics     int64 // sessions ended by a bug here
	Published  int64 // streams that reached PUBLISHING
	Failed     int64 // publishers that ended in FAILED, except those of lost sessions
	Played     int64 // players that reached PLAYING
	PlayFailed int64 // players that ended in FAILED, except those of lost sessions and of publishers that left

	Calls       int64 // of pages, now
	CallsMade   int64 // calls that pages have made
	CallsTaken  int64 // calls to pages that rang
	Talked      int64 // calls that were established
	CallsFailed int64 // calls that ended in FAILED, or were refused
}

// RTMPStats are the figures of our own RTMP server: those of rtmpserver.Stats.
type RTMPStats struct {
	Connections, Publishers, Players int64 // now

	Accepted   int64 // connections since the start
	Rejected   int64 // connections closed at once because there were too many
	Refused    int64 // requests to publish or to play
	Strangers  int64 // connections that did not speak RTMP, or not in time
	BadFrames  int64 // audio and video messages that could not be used
	TimeJumps  int64 // jumps of publishers' clocks
	SlowPlayer int64 // times that a player was too slow, and frames were dropped
	Dropped    int64 // frames that slow players lost
	Panics     int64 // connections ended by a bug here
}

func (s sink) webSockets(st WebSocketStats) {
	s.gauge(webSockets, float64(st.Sessions))
	s.gauge(webSocketsKept, float64(st.Kept))
	s.gauge(webSocketPublishers, float64(st.Publishers))
	s.gauge(webSocketPlayers, float64(st.Players))
	s.counter(webSocketsAccepted, st.Accepted)
	s.counter(webSocketsClosed, st.Floods, "flood")
	s.counter(webSocketsClosed, st.Slow, "slow")
	s.counter(webSocketsClosed, st.Silent, "silent")
	s.counter(webSocketMessages, st.Received, "received")
	s.counter(webSocketMessages, st.Sent, "sent")
	s.counter(webSocketIgnored, st.Ignored)
	s.counter(webSocketPublishes, st.Published, "published")
	s.counter(webSocketPublishes, st.Failed, "failed")
	s.counter(webSocketPlays, st.Played, "played")
	s.counter(webSocketPlays, st.PlayFailed, "failed")
	s.gauge(webSocketCalls, float64(st.Calls))
	s.counter(webSocketCallsBegun, st.CallsMade, "out")
	s.counter(webSocketCallsBegun, st.CallsTaken, "in")
	s.counter(webSocketCallEnds, st.Talked, "established")
	s.counter(webSocketCallEnds, st.CallsFailed, "failed")
	s.counter(panics, st.Panics, "websocket")
}

func (s sink) rtmp(st RTMPStats) {
	s.gauge(rtmpConnections, float64(st.Connections))
	s.gauge(rtmpPublishers, float64(st.Publishers))
	s.gauge(rtmpPlayers, float64(st.Players))
	s.counter(rtmpOpened, st.Accepted, "accepted")
	s.counter(rtmpOpened, st.Rejected, "rejected")
	s.counter(rtmpRefused, st.Refused)
	s.counter(rtmpStrangers, st.Strangers)
	s.counter(rtmpBadMessages, st.BadFrames)
	s.counter(rtmpClockJumps, st.TimeJumps)
	s.counter(rtmpSlowPlayers, st.SlowPlayer)
	s.counter(rtmpDropped, st.Dropped)
	s.counter(panics, st.Panics, "rtmp")
}

// publisher shows how the media of a WebRTC publisher arrives. Figures that are not known yet are left out.
func (s sink) publisher(st rtc.PublisherStats) {
	s.counter(publisherPackets, st.Packets, st.Stream)
	s.counter(publisherBytes, st.Bytes, st.Stream)
	s.counter(publisherFaults, st.Lost, st.Stream, "lost")
	s.counter(publisherFaults, st.Late, st.Stream, "late")
	s.counter(publisherFaults, st.Duplicate, st.Stream, "duplicate")
	s.counter(publisherNACKs, st.NACKs, st.Stream)
	s.counter(publisherPLIs, st.PLIs, st.Stream)
	s.counter(publisherBroken, st.BrokenUnits, st.Stream)
	s.counter(publisherJumps, st.ClockJumps, st.Stream)
	if st.Jitter > 0 {
		s.gauge(publisherJitter, st.Jitter.Seconds(), st.Stream)
	}
	if st.RoundTrip > 0 {
		s.gauge(publisherRoundTrip, st.RoundTrip.Seconds(), st.Stream)
	}
}
