package dialog

import (
	"strings"
	"testing"
	"time"
)

// talking is how most scripts begin: an outgoing call that was answered.
const talking = `
	0s | > dial                          | INVITE 1, TRYING
	0s | < 200 a sdp=S                   | ACK 1, answer S, ESTABLISHED
`

// called is the same for an incoming call.
const called = `
	0s | < INVITE 1 sdp=O                | offered O
	0s | > accept S                      | INVITE=200 S
	0s | < ACK 1                         | ESTABLISHED
`

func TestOutgoing(t *testing.T) {
	tests := []struct{ name, script string }{
		{"many 180, then answered, then hung up by us", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 100                     |
			2s   | < 180 a                   | RING
			3s   | < 180 a                   |
			4s   | < 180 a                   |
			5s   | < 180 a                   |
			6s   | < 180 a                   |
			7s   | < 180 a                   |
			8s   | < 180 a                   |
			9s   | < 180 a                   |
			10s  | < 180 a                   |
			11s  | < 180 a                   |
			12s  | < 180 a                   |
			13s  | < 180 a                   |
			14s  | < 200 a sdp=S             | ACK 1, answer S, ESTABLISHED
			15s  | > end hung_up             | FINISH(hung_up), BYE 2
			16s  | < 200:BYE a               |
			100s |                           |`},
		{"a 2xx that is repeated is acknowledged each time", talking + `
			1s   | < 200 a sdp=S             | ACK 1
			2s   | < 200 a sdp=S             | ACK 1`},
		{"hung up by the peer", talking + `
			9s   | < BYE 5 [Reason: Q.850;cause=16] | BYE=200, FINISH(hung_up)
			10s  | < BYE 6                   | BYE=200
			11s  | < INFO 7                  | INFO=481`},
		{"SDP of the latest 18x counts until 2xx", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 183 a sdp=A             | SESSION_PROGRESS, early A
			2s   | < 180 a                   | RING
			3s   | < 180 b sdp=B             | RING_MEDIA, early B
			4s   | < 180 b sdp=B             |
			5s   | < 200 a sdp=C             | ACK 1, answer C, ESTABLISHED`},
		{"a second phone answers: acknowledged and hung up", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 180 b                   | RING
			2s   | < 200 a sdp=A             | ACK 1, answer A, ESTABLISHED
			3s   | < 200 b sdp=B             | ACK 1 to b, BYE 2 to b
			4s   | < 407:BYE b               | BYE 3 to b Proxy-Authorization
			5s   | < 200 b sdp=B cseq=1      | ACK 1 to b
			6s   | < 200 c sdp=B cseq=1      | ACK 1 to c, BYE 2 to c
			7s   | > end hung_up             | FINISH(hung_up), BYE 2`},
		{"CANCEL waits for a 1xx", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | > end cancelled           | FINISH(cancelled)
			2s   | < 100                     | CANCEL 1
			3s   | < 200:CANCEL a            |
			4s   | < 487 a                   |
			100s |                           |`},
		{"CANCEL after a 1xx", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 180 a                   | RING
			2s   | > end cancelled           | FINISH(cancelled), CANCEL 1
			3s   | < 180 a                   |
			4s   | < 487 a                   |`},
		{"a 2xx crosses CANCEL", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 180 a                   | RING
			2s   | > end cancelled           | FINISH(cancelled), CANCEL 1
			2s   | < 200 a sdp=S             | ACK 1, BYE 2
			3s   | < 200 a sdp=S             | ACK 1
			4s   | < 200:BYE a               |
			5s   | < 200 a sdp=S             | ACK 1`},
		{"a 2xx without any 1xx for a call that nobody wants", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | > end cancelled           | FINISH(cancelled)
			2s   | < 200 a sdp=S             | ACK 1, BYE 2`},
		{"a 2xx comes after we gave up", `
			0s   | > dial                    | INVITE 1, TRYING
			33s  |                           | 32s:FAILED(transport)
			50s  | < 200 a sdp=S             | ACK 1, BYE 2
			51s  | < 407:BYE a               | BYE 3 Proxy-Authorization`},
		{"no answer to CANCEL: given up, but a late 2xx is still ended", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 180 a                   | RING
			2s   | > end cancelled           | FINISH(cancelled), CANCEL 1
			60s  | < 200 a sdp=S             | ACK 1, BYE 2`},
		{"nobody answers", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 180 a                   | RING
			41s  | < 487 a                   | 40s:FINISH(no_answer), 40s:CANCEL 1`},
		{"the INVITE cannot be sent", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | > unsent INVITE           | FAILED(transport)`},
		{"2xx without SDP", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 200 a                   | ACK 1, FAILED(no_codec), BYE 2`},
		{"the password is right", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 401 x                   | INVITE 2 Authorization
			2s   | < 180 a                   | RING
			3s   | < 200 a sdp=S             | ACK 2, answer S, ESTABLISHED
			4s   | > end hung_up             | FINISH(hung_up), BYE 3`},
		{"the password is wrong: one answer only", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 407 x                   | INVITE 2 Proxy-Authorization
			2s   | < 407 x                   | FAILED(auth_failed)`},
		{"a stale nonce gets a second answer, and no third", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 407 x                   | INVITE 2 Proxy-Authorization
			2s   | < 407 stale               | INVITE 3 Proxy-Authorization
			3s   | < 407 stale               | FAILED(auth_failed)`},
		{"proxy and server both ask", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 407 x                   | INVITE 2 Proxy-Authorization
			2s   | < 401 x                   | INVITE 3 Authorization Proxy-Authorization
			3s   | < 486 a                   | BUSY(busy)`},
		{"no password for a challenge of a call that nobody wants", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | > end cancelled           | FINISH(cancelled)
			2s   | < 401 x                   |`},
		{"a new INVITE after a challenge is not cancelled before its own 1xx", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 100                     |
			2s   | < 407 x                   | INVITE 2 Proxy-Authorization
			3s   | > end cancelled           | FINISH(cancelled)
			4s   | < 100                     | CANCEL 2`},
		{"the peer wants a longer session, once", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 422 x [Min-SE: 3600]    | INVITE 2
			2s   | < 422 x [Min-SE: 7200]    | FAILED(rejected)`},
		{"the peer insists on reliable 1xx", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 421 x [Require: 100rel] | INVITE 2
			2s   | < 183 a sdp=E [Require: 100rel] [RSeq: 7] | PRACK 3, SESSION_PROGRESS, early E
			3s   | < 183 a sdp=E [Require: 100rel] [RSeq: 7] |
			4s   | < 200:PRACK a             |
			5s   | < 180 a [Require: 100rel] [RSeq: 8] | PRACK 4, RING
			6s   | < 200 a                   | ACK 2, answer E, ESTABLISHED
			7s   | > end hung_up             | FINISH(hung_up), BYE 5`},
		{"an offer that is wanted while the phone rings", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | > hold H                  |
			2s   | < 200 a sdp=S             | ACK 1, answer S, ESTABLISHED, INVITE 2 H`},
		{"a phone of RFC 2543 has no tag", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 200 sdp=S               | ACK 1, answer S, ESTABLISHED
			2s   | < 200 sdp=S               | ACK 1
			3s   | > hold H                  | INVITE 2 H
			4s   | < 183                     |
			5s   | < 200 sdp=R               | ACK 2, answer R, HOLD
			6s   | > end hung_up             | FINISH(hung_up), BYE 3
			7s   | < 200:BYE                 |`},
		{"no phone answers before there is a dialog", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < BYE 1 from=             | unknown`},
		{"a redirection is not followed", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 302 x [Contact: <sip:900@premium.example>] | FAILED(policy)`},
		{"requests for an early dialog", `
			0s   | > dial                    | INVITE 1, TRYING
			1s   | < 183 a sdp=E             | SESSION_PROGRESS, early E
			2s   | < UPDATE 1 sdp=F          | UPDATE=491
			2s   | < UPDATE 2                | UPDATE=200
			3s   | < INFO 3 from=other       | unknown`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { newActor(t).play(test.script) })
	}
}

func TestIncoming(t *testing.T) {
	tests := []struct{ name, script string }{
		{"rings, is answered, hangs up", `
			0s   | < INVITE 1 sdp=O          | offered O
			1s   | > ring                    | INVITE=180, RING
			2s   | > accept S                | INVITE=200 S
			2s   | < ACK 1                   | ESTABLISHED
			3s   | < BYE 2                   | BYE=200, FINISH(hung_up)`},
		{"200 is repeated until ACK", `
			0s   | < INVITE 1 sdp=O          | offered O
			0s   | > accept S                | INVITE=200 S
			8s   | < ACK 1                   | 0.5s:INVITE=200 S, 1.5s:INVITE=200 S, 3.5s:INVITE=200 S, 7.5s:INVITE=200 S, ESTABLISHED
			60s  |                           |`},
		{"no ACK at all", `
			0s   | < INVITE 1 sdp=O          | offered O
			0s   | > accept S                | INVITE=200 S
			8s   |                           | 0.5s:INVITE=200 S, 1.5s:INVITE=200 S, 3.5s:INVITE=200 S, 7.5s:INVITE=200 S
			30s  |                           | 11.5s:INVITE=200 S, 15.5s:INVITE=200 S, 19.5s:INVITE=200 S, 23.5s:INVITE=200 S, 27.5s:INVITE=200 S
			33s  |                           | 31.5s:INVITE=200 S, 32s:FAILED(transport), 32s:BYE 1`},
		{"BYE waits for ACK", `
			0s   | < INVITE 1 sdp=O          | offered O
			0s   | > accept S                | INVITE=200 S
			100ms | > end hung_up            | FINISH(hung_up)
			200ms | < ACK 1                  | BYE 1`},
		{"the caller cancels", `
			0s   | < INVITE 1 sdp=O          | offered O
			1s   | > ring                    | INVITE=180, RING
			2s   | < CANCEL 1                | CANCEL=200, INVITE=487, FINISH(cancelled)
			3s   | > accept S                |`},
		{"CANCEL after the answer changes nothing", called + `
			1s   | < CANCEL 1                | CANCEL=200
			2s   | < CANCEL 9                | unknown`},
		{"we refuse", `
			0s   | < INVITE 1 sdp=O          | offered O
			1s   | > end busy                | BUSY(busy), INVITE=486`},
		{"nobody takes the call", `
			0s   | < INVITE 1 sdp=O          | offered O
			1s   | > ring                    | INVITE=180, RING
			41s  |                           | 40s:FINISH(no_answer), 40s:INVITE=480`},
		{"late offer", `
			0s   | < INVITE 1                | offered
			0s   | > accept S                | INVITE=200 S
			0s   | < ACK 1 sdp=A             | answer A, ESTABLISHED`},
		{"late offer without an answer", `
			0s   | < INVITE 1                | offered
			0s   | > accept S                | INVITE=200 S
			0s   | < ACK 1                   | FAILED(no_codec), BYE 1`},
		{"an extension that we do not know", `
			0s   | < INVITE 1 sdp=O [Require: 100rel, timer] | INVITE=420, FAILED(rejected)`},
		{"a session interval that is too short", `
			0s   | < INVITE 1 sdp=O [Session-Expires: 60] [Supported: timer] | INVITE=422, FAILED(rejected)`},
		{"a re-INVITE right after 200, before ACK", `
			0s   | < INVITE 1 sdp=O          | offered O
			0s   | > accept S                | INVITE=200 S
			0s   | < INVITE 2 sdp=P          | INVITE=491
			0s   | < ACK 1                   | ESTABLISHED
			0s   | < INVITE 3 sdp=P          | offered P
			0s   | > accept T                | INVITE=200 T
			0s   | < ACK 3                   |`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { newActor(t).play(test.script) })
	}
}

func TestWithinCall(t *testing.T) {
	tests := []struct{ name, script string }{
		{"a request needs both tags and a rising CSeq", talking + `
			1s   | < INFO 5 from=x           | unknown
			1s   | < INFO 5 to=x             | unknown
			1s   | < INFO 5                  | INFO=200
			1s   | < INFO 5                  | INFO=500
			1s   | < INFO 4                  | INFO=500
			1s   | < BYE 6 from=x            | unknown`},
		{"the peer holds and resumes: each offer is answered anew", talking + `
			1s   | < INVITE 1 sdp=sendonly   | offered sendonly
			1s   | > peerholds true          | HOLD
			1s   | > accept recvonly         | INVITE=200 recvonly
			1s   | < ACK 1                   |
			2s   | < INVITE 2 sdp=sendrecv   | offered sendrecv
			2s   | > peerholds false         | ESTABLISHED
			2s   | > accept both             | INVITE=200 both
			2s   | < ACK 2                   |`},
		{"the same SDP is a refresh", talking + `
			1s   | < INVITE 1 sdp=S          | INVITE=200 ours
			1s   | < ACK 1                   |`},
		{"an offer that we do not take", talking + `
			1s   | < INVITE 1 sdp=T.38       | offered T.38
			1s   | > reject                  | INVITE=488
			2s   | < UPDATE 2 sdp=T.38       | offered T.38
			2s   | > reject                  | UPDATE=488`},
		{"UPDATE is answered without ACK", talking + `
			1s   | < UPDATE 1 sdp=T          | offered T
			1s   | > accept U                | UPDATE=200 U
			2s   | < UPDATE 2                | UPDATE=200`},
		{"late offer in a re-INVITE", talking + `
			1s   | < INVITE 1                | offered
			1s   | > accept full             | INVITE=200 full
			1s   | < ACK 1 sdp=A             | answer A`},
		{"two offers of the peer at once", talking + `
			1s   | < INVITE 1 sdp=A          | offered A
			1s   | < UPDATE 2 sdp=B          | UPDATE=500
			1s   | > accept C                | INVITE=200 C
			1s   | < INVITE 3 sdp=B          | INVITE=491
			1s   | < ACK 1                   |`},
		{"the peer hangs up while its offer waits", talking + `
			1s   | < INVITE 1 sdp=A          | offered A
			1s   | < BYE 2                   | BYE=200, INVITE=487, FINISH(hung_up)
			1s   | > accept C                |`},
		{"we hold and resume", talking + `
			1s   | > hold H                  | INVITE 2 H
			1s   | < 200 a sdp=R             | ACK 2, answer R, HOLD
			2s   | < 200 a sdp=R             | ACK 2
			3s   | > modify M                | INVITE 3 M
			3s   | < 200 a sdp=S             | ACK 3, answer S, ESTABLISHED`},
		{"our hold is refused", talking + `
			1s   | > hold H                  | INVITE 2 H
			1s   | < 488 a                   | refused 488
			2s   | > end hung_up             | FINISH(hung_up), BYE 3`},
		{"our hold waits for the peer's offer", talking + `
			1s   | < INVITE 1 sdp=P          | offered P
			1s   | > hold H                  |
			2s   | > accept Q                | INVITE=200 Q
			3s   | < ACK 1                   | 2.5s:INVITE=200 Q, INVITE 2 H`},
		{"offers cross: the peer's is refused", talking + `
			1s   | > hold H                  | INVITE 2 H
			1s   | < INVITE 1 sdp=P          | INVITE=491
			1s   | < UPDATE 2 sdp=P          | UPDATE=491`},
		{"our re-INVITE gets no answer", talking + `
			1s   | > hold H                  | INVITE 2 H
			34s  |                           | 33s:FAILED(transport), 33s:BYE 3`},
		{"our re-INVITE for a call that the peer does not know", talking + `
			1s   | > hold H                  | INVITE 2 H
			2s   | < 481 a                   | FAILED(transport), BYE 3`},
		{"407 on re-INVITE, INFO and BYE", talking + `
			1s   | > hold H                  | INVITE 2 H
			1s   | < 407 a                   | INVITE 3 Proxy-Authorization H
			1s   | < 200 a sdp=R             | ACK 3, answer R, HOLD
			2s   | > keyframe                | INFO 4 picture
			2s   | < 407:INFO a              | INFO 5 Proxy-Authorization picture
			3s   | > end hung_up             | FINISH(hung_up), BYE 6
			3s   | < 407:BYE a               | BYE 7 Proxy-Authorization
			4s   | < 407:BYE a               |`},
		{"BYE without an answer", talking + `
			1s   | > end media_timeout       | FAILED(media_timeout), BYE 2
			2s   | < BYE 1                   | BYE=200
			99s  |                           |`},
		{"INFO of the peer", talking + `
			1s   | < INFO 1                  | INFO=200
			1s   | < INFO 2 media=picture_fast_update | key frame, INFO=200
			1s   | < INFO 3 relay=#          | digit # 250ms, INFO=200
			1s   | < INFO 4 dtmf=7           | digit 7 0s, INFO=200
			1s   | < INFO 5 relay=77         | INFO=400
			1s   | < INFO 6 text=hello       | INFO=415`},
		{"key frames: not too often, and not after two refusals", talking + `
			1s   | > keyframe                | INFO 2 picture
			2s   | > keyframe                |
			3s   | > keyframe                |
			3s   | < 200:INFO a              |
			3s   | > keyframe                | INFO 3 picture
			3s   | < 415:INFO a              |
			6s   | > keyframe                | INFO 4 picture
			6s   | < 415:INFO a              |
			9s   | > keyframe                |`},
		{"digits go one after the other", talking + `
			1s   | > digits 1,#              | INFO 2 Signal=1
			1s   | < 200:INFO a              |
			3s   |                           | 2s:INFO 3 Signal=#
			3s   | < 200:INFO a              |`},
		{"digits in the other form", talking + `
			1s   | > digits 12               | INFO 2 Signal=1
			1s   | < 415:INFO a              | INFO 3 plain 1
			1s   | < 200:INFO a              | INFO 4 plain 2
			1s   | < 415:INFO a              |`},
		{"other methods", talking + `
			1s   | < OPTIONS 1               | OPTIONS=200 ours
			1s   | < REFER 2                 | REFER=603
			1s   | < NOTIFY 3 [Event: dialog] | NOTIFY=489
			1s   | < NOTIFY 4 [Event: refer] | NOTIFY=200
			1s   | < PRACK 5                 | PRACK=481
			1s   | < SUBSCRIBE 6             | SUBSCRIBE=405
			1s   | < MESSAGE 7               | MESSAGE=405
			1s   | < INFO 8 [Require: magic] | INFO=420`},
		{"transfer", talking + `
			1s   | > transfer sip:eve@example.org | REFER 2
			1s   | < 202:REFER a             |
			2s   | < NOTIFY 1 frag=100 [Event: refer] | NOTIFY=200, transfer 100
			3s   | < NOTIFY 2 frag=200 [Event: refer;id=2] | NOTIFY=200, transfer 200
			4s   | < NOTIFY 3 frag=200 [Event: refer] | NOTIFY=200`},
		{"the first NOTIFY overtakes 202", talking + `
			1s   | > transfer sip:eve@example.org | REFER 2
			2s   | < NOTIFY 1 frag=503 [Event: refer] | NOTIFY=200, transfer 503
			3s   | < 202:REFER a             |`},
		{"transfer refused", talking + `
			1s   | > transfer sip:eve@example.org | REFER 2
			1s   | < 603:REFER a             | transfer 603`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { newActor(t).play(test.script) })
	}
}

func TestSessionTimer(t *testing.T) {
	tests := []struct{ name, script string }{
		{"we refresh by UPDATE if the peer knows it", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90;refresher=uac] [Allow: INVITE, UPDATE] | ACK 1, answer S, ESTABLISHED
			45s   |                          | 45s:UPDATE 2
			45s   | < 200:UPDATE a [Session-Expires: 90;refresher=uac] |
			90s   |                          | 90s:UPDATE 3
			91s   | < 481:UPDATE a           | FAILED(session_expired), BYE 4`},
		{"we refresh by re-INVITE with the same SDP", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90;refresher=uac] | ACK 1, answer S, ESTABLISHED
			45s   |                          | 45s:INVITE 2
			45s   | < 200 a sdp=S [Session-Expires: 90;refresher=uac] | ACK 2
			90s   |                          | 90s:INVITE 3
			91s   | < 408 a                  | FAILED(session_expired), BYE 4`},
		{"the peer refreshes, then stops", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90;refresher=uas] | ACK 1, answer S, ESTABLISHED
			45s   | < INVITE 1 sdp=S [Session-Expires: 90;refresher=uac] [Supported: timer] | INVITE=200 ours
			45s   | < ACK 1                  |
			104s  |                          |
			106s  |                          | 105s:FAILED(session_expired), 105s:BYE 2`},
		{"no timer for a peer that has none", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S            | ACK 1, answer S, ESTABLISHED
			9000s |                          |`},
		{"a peer that knows timers and names nobody: we refresh", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Supported: timer] [Allow: UPDATE] | ACK 1, answer S, ESTABLISHED
			901s  |                          | 900s:UPDATE 2`},
		{"a refresh that is refused for a while", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90] [Allow: UPDATE] | ACK 1, answer S, ESTABLISHED
			45s   | < 500:UPDATE a           | 45s:UPDATE 2
			56s   | < 405:UPDATE a           | 55s:UPDATE 3, INVITE 4
			57s   | < 200 a sdp=S [Session-Expires: 90] | ACK 4`},
		{"a refresh waits for our offer, which is refused", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90] [Allow: UPDATE] | ACK 1, answer S, ESTABLISHED
			44s   | > hold H                 | INVITE 2 H
			46s   | < 488 a                  | refused 488
			56s   |                          | 55s:UPDATE 3`},
		{"422 to a refresh, once", `
			0s    | > dial                   | INVITE 1, TRYING
			0s    | < 200 a sdp=S [Session-Expires: 90] [Allow: UPDATE] | ACK 1, answer S, ESTABLISHED
			45s   | < 422:UPDATE a [Min-SE: 120] | 45s:UPDATE 2, UPDATE 3
			45s   | < 200:UPDATE a [Session-Expires: 120] |
			106s  |                          | 105s:UPDATE 4`},
		{"422 to a peer that refreshes too often", talking + `
			1s    | < UPDATE 1 [Session-Expires: 30] | UPDATE=422`},
		{"the caller refreshes", `
			0s    | < INVITE 1 sdp=O [Session-Expires: 90;refresher=uac] [Supported: timer] | offered O
			0s    | > accept S               | INVITE=200 S
			0s    | < ACK 1                  | ESTABLISHED
			50s   | < UPDATE 2 [Session-Expires: 90;refresher=uac] [Supported: timer] | UPDATE=200
			109s  |                          |
			111s  |                          | 110s:FAILED(session_expired), 110s:BYE 1`},
		{"we refresh for the caller", `
			0s    | < INVITE 1 sdp=O [Session-Expires: 120;refresher=uas] [Supported: timer] [Allow: UPDATE] | offered O
			0s    | > accept S               | INVITE=200 S
			0s    | < ACK 1                  | ESTABLISHED
			61s   | < 200:UPDATE a [Session-Expires: 120;refresher=uac] | 60s:UPDATE 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { newActor(t).play(test.script) })
	}
}

// A phone that is to ring shorter than a transaction takes, and a server that says nothing at all.
func TestShortAnswerTimeout(t *testing.T) {
	a := newActor(t)
	a.cfg.AnswerTimeout = 10 * time.Second
	a.play(`
		0s  | > dial                    | INVITE 1, TRYING
		20s |                           | 10s:FINISH(no_answer)
		25s | < 100                     | CANCEL 1
		70s | < 200 a sdp=S             | ACK 1, BYE 2`)
}

// After 491 the owner of the Call-ID waits longer than the other side, so that the offers do not meet again (RFC 3261, 14.1).
func TestCollisionPause(t *testing.T) {
	tests := []struct {
		name, script string
		least, most  time.Duration
	}{
		{"owner", talking, 2100 * time.Millisecond, 4 * time.Second},
		{"other side", called, 0, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newActor(t)
			a.play(test.script)
			a.call.Modify(a.now, []byte("H"), true)
			for try := range maxCollisions + 1 {
				got := a.take()
				if len(got) != 1 || !strings.HasPrefix(got[0], "INVITE ") {
					t.Fatalf("try %d: outputs %v, want an INVITE", try, got)
				}
				a.do("< 491 a")
				if try == maxCollisions {
					break
				}
				pause := a.call.Deadline().Sub(a.now)
				if pause < test.least || pause > test.most {
					t.Errorf("pause %v, want %v to %v", pause, test.least, test.most)
				}
				a.now = a.call.Deadline()
				a.call.Tick(a.now)
			}
			if got := a.take(); len(got) != 1 || got[0] != "refused 491" {
				t.Errorf("outputs %v, want refused 491", got)
			}
		})
	}
}
