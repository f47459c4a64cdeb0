// Package destination keeps the RTMP addresses that an administrator has given names, with their stream keys. Requests name them as
// destination://NAME. The addresses lie sealed in the state, and come back to nobody: only pushes get them. The package also has what is known
// of the usual platforms.
package destination
