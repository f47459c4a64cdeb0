package sound

// speexLow and speexHigh hold the sizes in bits of the two parts of a wideband Speex frame, by their modes (The Speex Codec Manual
// 1.2, tables 9.2 and 10.2); 0: there is no such mode.
var (
	speexLow  = [16]int{5, 43, 119, 160, 220, 300, 364, 492, 79}
	speexHigh = [8]int{4, 36, 112, 192, 352}
)

// maxSpeexFrames is the most frames of 20 ms in a packet; packets with more are refused.
const maxSpeexFrames = 10

// SpeexFrames returns how many frames a packet of Speex holds, and their size in bits; 0 if the packet is not valid. Narrowband
// frames are wideband frames without the second part.
func SpeexFrames(packet []byte) (frames, bits int) {
	for end := 8 * len(packet); end-bits >= 5; frames++ {
		low := bitsAt(packet, bits, 5) // the first bit is 0: this is the low part
		if low == 15 {                 // padding
			break
		}
		if low > 15 || speexLow[low] == 0 || frames == maxSpeexFrames {
			return 0, 0
		}
		at := bits + speexLow[low]
		if high := bitsAt(packet, at, 4); end-at >= 4 && high >= 8 {
			if speexHigh[high-8] == 0 {
				return 0, 0
			}
			at += speexHigh[high-8]
		}
		if at > end {
			return 0, 0
		}
		bits = at
	}
	return frames, bits
}

// bitsAt reads n bits; after the end of b it reads zeros.
func bitsAt(b []byte, at, n int) int {
	x := 0
	for ; n > 0; n-- {
		x <<= 1
		if at/8 < len(b) {
			x |= int(b[at/8] >> (7 - at%8) & 1)
		}
		at++
	}
	return x
}

// JoinSpeex returns one packet with the frames of several packets.
func JoinSpeex(packets ...[]byte) []byte {
	var out []byte
	n := 0
	put := func(bit int) {
		if n%8 == 0 {
			out = append(out, 0)
		}
		out[n/8] |= byte(bit << (7 - n%8))
		n++
	}
	for _, p := range packets {
		_, bits := SpeexFrames(p)
		for at := range bits {
			put(bitsAt(p, at, 1))
		}
	}
	for bit := 0; n%8 > 0; bit = 1 { // a zero, then ones
		put(bit)
	}
	return out
}
