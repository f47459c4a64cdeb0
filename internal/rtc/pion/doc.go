// Package pion receives WebRTC media through pion's PeerConnection. It is the rtc.Receiver that takes every offer.
//
// All peers share one UDP port, and one TCP port where that is asked for. ICE, DTLS, SRTP and transport-wide feedback are
// pion's; what is offered to pion and what is answered to the peer is written here (rtc.Answer), as are order, loss
// and NACK (rtc.JitterBuffer). A Receiver's goroutines end with its Close.
package pion
