// Package worker transcodes pictures in a child process. Codecs decode data from strangers; in the child, a fault in a codec can do
// no harm.
//
// A Process is the parent's end. It starts this program again, with an argument that makes it call Main, and exchanges messages with
// it over standard input and output (wire.go). The child opens its codecs, then gives up everything except reading, writing, memory
// and threads (sandbox_linux.go), and only then accepts pictures. It ends when its standard input ends, so it never outlives the
// parent.
//
// Package picture owns the Process and starts another one when it dies.
package worker
