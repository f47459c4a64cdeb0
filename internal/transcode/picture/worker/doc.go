// Package worker is the child process that transcodes pictures: decoding what strangers send is done where it can do no harm.
//
// A Process is the parent's end: it starts the program anew with an argument that has it call Main, and talks to it over its
// standard input and output in messages of a type, a length and a body (wire.go). The child makes its codecs ready, gives up
// everything but reading, writing, memory and threads (sandbox_linux.go), and only then takes pictures. It ends with its standard
// input, and so never outlives the parent.
//
// Package transcode owns the Process, restarts it and knows what its pictures are for.
package worker
