// Package phone is a SIP phone for tests that does what a test tells it, right or wrong: any response, any SDP, any RTP. It judges what
// reaches it.
//
// It shares no code with internal/sip, so that both do not make the same mistake. It has no transactions and no state machine: the test
// takes messages from the phone's inbox and sends others. Only three things happen by themselves: a request that comes again gets the last
// response again, a final response other than 2xx to an INVITE is acknowledged, and a keep-alive is answered.
//
// Phone sends and receives SIP, Dialog numbers the requests of one call, Stream sends and receives RTP and RTCP of one m-line, Sound and
// Picture make what a Stream sends. Everything ends with the test.
package phone
