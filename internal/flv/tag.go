package flv

import "transponder/internal/media"

// The types of a tag, which are RTMP's message types too.
const (
	TypeAudio uint8 = 8
	TypeVideo uint8 = 9
	TypeData  uint8 = 18
)

// Tag is one message: a short head and the payload that follows it. The payload is shared with the frame or track that the
// tag was made of and is not changed.
type Tag struct {
	Type    uint8
	Time    uint32 // milliseconds, modulo 2^32
	Payload []byte

	head    [5]byte
	headLen uint8
}

// Head returns the bytes that go before the payload.
func (t *Tag) Head() []byte { return t.head[:t.headLen] }

// Len returns the size of the whole body.
func (t *Tag) Len() int { return int(t.headLen) + len(t.Payload) }

// FrameTag makes the tag of a frame that is decoded at ms milliseconds on the receiver's clock; the wire keeps ms modulo
// 2^32. It fails with ErrUnsupported for codecs that plain FLV does not have.
func FrameTag(f media.Frame, ms int64) (Tag, error) { return Tag{}, ErrUnsupported }

// ConfigTag makes the tag that carries a track's decoder configuration and must go before the first frame of the track;
// ok is false if the codec has none.
func ConfigTag(t *media.Track, ms int64) (tag Tag, ok bool) { return Tag{}, false }

// MetadataTag makes the @setDataFrame message with onMetaData for the given tracks; either may be nil. A frame rate of 0 is
// left out. For a player, which expects onMetaData alone, use PlayerMetadataTag.
func MetadataTag(m Metadata) Tag { return Tag{} }

// Metadata says what a stream holds.
type Metadata struct {
	Video, Audio *media.Track // nil: not there
	FrameRate    float64      // 0: unknown
	VideoBPS     int64        // 0: unknown
	AudioBPS     int64        // 0: unknown
	Encoder      string
}
