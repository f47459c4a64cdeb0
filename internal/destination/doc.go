// Package destination keeps the RTMP addresses that an administrator has given names, with their stream keys. Requests name them as
// destination://NAME. The keys lie sealed in the state, and come back to nobody. The package also has the rules of the usual platforms.
package destination
