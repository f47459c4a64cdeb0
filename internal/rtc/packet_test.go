package rtc

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// extended returns a packet whose header extension has these bytes.
func extended(extension []byte, payload ...byte) []byte {
	b := []byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, byte((len(extension) + 3) / 4)}
	b = append(b, extension...)
	return append(append(b, make([]byte, -len(extension)&3)...), payload...)
}

// FuzzParsePacket: a packet that pion's parser accepts is read in the same way, except for padding that pion accepts
// although it is not valid.
func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x80, 0xe0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{0xb1, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 1, 1, 1, 1, 5, 0, 0, 3})
	f.Add(extended([]byte{0x31, 1, 2, 0, 0xd0, 3}, 7, 8))
	f.Add(extended([]byte{0x3f, 1, 2}, 7))
	f.Add(extended([]byte{0xf1, 1, 2, 0x31, 3, 4}, 7))
	f.Add([]byte{0xa0, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		var theirs rtp.Packet
		if theirErr := theirs.Unmarshal(b); theirErr != nil || err != nil {
			return
		}
		if p.SSRC != theirs.SSRC || p.Seq != theirs.SequenceNumber || p.Time != theirs.Timestamp || p.Marker != theirs.Marker ||
			p.PayloadType != theirs.PayloadType || !bytes.Equal(p.Payload, theirs.Payload) {
			t.Fatalf("%+v, pion has %v", p, theirs)
		}
		if theirs.Extension && theirs.ExtensionProfile == 0xbede {
			for id := uint8(1); id < 15; id++ {
				if e := theirs.GetExtension(id); e != nil && !bytes.Equal(p.element(id), e) {
					t.Errorf("element %d is %v, pion has %v", id, p.element(id), e)
				}
			}
		}
		if r, ok := p.Repaired(1, 2); ok && (!r.Repair || r.SSRC != 1 || r.PayloadType != 2 || len(r.Payload) != len(p.Payload)-2) {
			t.Errorf("repairs %+v to %+v", p, r)
		}
	})
}

// FuzzSenderReports: the same sender reports as pion finds in a compound packet, in the same order.
func FuzzSenderReports(f *testing.F) {
	compound, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: 7, NTPTime: 1 << 40, RTPTime: 9, Reports: []rtcp.ReceptionReport{{SSRC: 1}}},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 7, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}},
		&rtcp.SenderReport{SSRC: 8, NTPTime: 1 << 41, RTPTime: 10},
		&rtcp.Goodbye{Sources: []uint32{7}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(compound)
	f.Add(compound[:30])
	f.Add([]byte{0x80, 200, 0, 6})
	f.Add(append([]byte{0x81, 201, 255, 255}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []SenderReport
		for r := range SenderReports(b) {
			got = append(got, r)
		}
		if len(got) > len(b)/20 {
			t.Fatalf("%d reports in %d bytes", len(got), len(b))
		}
		packets, err := rtcp.Unmarshal(b)
		if err != nil {
			return
		}
		for _, p := range packets {
			r, ok := p.(*rtcp.SenderReport)
			if !ok {
				continue
			}
			if want := (SenderReport{r.SSRC, r.NTPTime, r.RTPTime}); len(got) == 0 || got[0] != want {
				t.Fatalf("got %v, pion has %v", got, want)
			}
			got = got[1:]
		}
		if len(got) > 0 {
			t.Errorf("%v is no report to pion", got)
		}
	})
}

// FuzzExtension: an element is found behind any other well-formed elements.
func FuzzExtension(f *testing.F) {
	f.Add([]byte{1, 2}, uint16(3))
	f.Add([]byte{}, uint16(0xffff))
	f.Fuzz(func(t *testing.T, other []byte, number uint16) {
		if len(other) > 16 {
			return
		}
		var b []byte
		if len(other) > 0 {
			b = append([]byte{4<<4 | byte(len(other)-1)}, other...)
		}
		b = binary.BigEndian.AppendUint16(append(b, 0, 3<<4|1), number)
		p, err := ParsePacket(extended(b, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.TransportSequence(3); !ok || got != number || !bytes.Equal(p.element(4), other) && len(other) > 0 {
			t.Errorf("%v holds %d, %v", b, got, ok)
		}
	})
}
