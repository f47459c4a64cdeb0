// Package soundfile plays WAV files in the place of a stream's live sound.
//
// A Library is a directory of files. It encodes a file once for each format of live sound, only as far as the players have come
// and a little further, and keeps the packets: in memory if they are few, else in a temporary file without a name. Library.Run
// owns the goroutines that encode, one for each file that is played.
//
// A Player belongs to one push. Player.Replace exchanges the data of one live frame for the file's next packet, and never blocks.
// Times and headers stay those of the live sound, so that the RTMP server sees one stream.
package soundfile
