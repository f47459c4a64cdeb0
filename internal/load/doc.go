// Package load measures what is used of the machine's processors, and says when that is enough: who is let in beyond what the
// machine can carry makes the streams worse of those who are on.
//
// Gate is asked by whoever lets somebody in: the hub for publishers, the pushes, those who play. What there is no room for at
// all, by settings or by measure, is ErrFull everywhere, so that each door has one answer for it.
package load
