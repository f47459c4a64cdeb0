package media

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// ErrH264Repeat means that H264Repeater cannot repeat the pictures of a stream.
var ErrH264Repeat = errors.New("pictures of this H.264 stream cannot be repeated")

// NAL unit types of slices (H.264, table 7-1).
const (
	naluSlice = 1
	naluIDR   = 5
)

// H264Repeater makes access units that show the last reference picture of a stream again: pictures in which every macroblock is skipped, of 10
// to 60 bytes each. A decoder shows exactly the same picture. The repeated pictures are reference pictures themselves, so the next picture of
// the encoder cannot follow them: it must be an IDR picture.
//
// Supported are progressive frames with one slice group and pic_order_cnt_type 0 or 2, with CAVLC or CABAC. Browsers send nothing else, and
// nearly all encoders do the same.
type H264Repeater struct {
	sps h264.SPS
	all map[uint32]pictureParameters
	pps pictureParameters // of the picture that is repeated

	follows  bool // there is a picture that can be repeated
	frameNum uint32
	order    uint32 // pic_order_cnt_lsb of the last picture
}

// NewH264Repeater reads the parameter sets in a Track.Config. It fails with ErrH264Repeat or ErrH264Config.
func NewH264Repeater(config []byte) (*H264Repeater, error) {
	sps, pps, err := H264ParameterSets(config)
	if err != nil {
		return nil, err
	}
	r := &H264Repeater{all: map[uint32]pictureParameters{}}
	if len(sps) != 1 {
		return nil, fmt.Errorf("%w: %d sequence parameter sets", ErrH264Repeat, len(sps))
	}
	if err := r.sps.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("read H.264 sequence parameter set: %w", err)
	}
	switch s := &r.sps; {
	case !s.FrameMbsOnlyFlag, s.SeparateColourPlaneFlag, s.PicOrderCntType == 1, s.MaxNumRefFrames == 0,
		s.Log2MaxFrameNumMinus4 > 12, s.Log2MaxPicOrderCntLsbMinus4 > 12: // 7.4.2.1.1
		return nil, fmt.Errorf("%w: of the kind that its sequence parameter set tells", ErrH264Repeat)
	case (uint64(s.PicWidthInMbsMinus1)+1)*(uint64(s.PicHeightInMapUnitsMinus1)+1) > maxMacroblocks:
		return nil, fmt.Errorf("%w: the picture is too large", ErrH264Repeat)
	}
	for _, b := range pps {
		p, err := readPictureParameters(b)
		if err != nil {
			return nil, err
		}
		r.all[p.id] = p
	}
	return r, nil
}

// maxMacroblocks is the size of the largest picture, at level 6.2 (H.264, table A-1).
const maxMacroblocks = 139_264

// pictureParameters are the fields of a picture parameter set that slice headers depend on (H.264, 7.3.2.2).
type pictureParameters struct {
	id            uint32
	cabac         bool
	bottomOrder   bool // bottom_field_pic_order_in_frame_present_flag
	references    uint32
	weighted      bool
	qp            int32
	deblocking    bool // deblocking_filter_control_present_flag
	redundantPics bool
}

// fields reads fields one after another. The first error is kept.
type fields struct {
	b   []byte
	pos int
	err error
}

// newFields begins after the header byte of a NAL unit. It ignores bytes after limit, which no header of interest exceeds.
func newFields(nalu []byte, limit int) *fields {
	return &fields{b: h264.EmulationPreventionRemove(nalu[1:min(len(nalu), limit)])}
}

func (f *fields) bits(n int) uint32 {
	if f.err != nil {
		return 0
	}
	var v uint64
	v, f.err = bits.ReadBits(f.b, &f.pos, n)
	return uint32(v)
}

func (f *fields) flag() bool { return f.bits(1) == 1 }

func (f *fields) ue() uint32 {
	if f.err != nil {
		return 0
	}
	var v uint32
	v, f.err = bits.ReadGolombUnsigned(f.b, &f.pos)
	return v
}

func (f *fields) se() int32 {
	v := f.ue()
	if v&1 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}

func readPictureParameters(nalu []byte) (pictureParameters, error) {
	f := newFields(nalu, len(nalu))
	p := pictureParameters{id: f.ue()}
	f.ue() // seq_parameter_set_id: there is only one
	p.cabac, p.bottomOrder = f.flag(), f.flag()
	groups := f.ue()
	if f.err == nil && groups != 0 {
		return p, fmt.Errorf("%w: slice groups", ErrH264Repeat)
	}
	p.references = f.ue() + 1
	f.ue()
	p.weighted = f.flag()
	f.bits(2) // weighted_bipred_idc
	p.qp = 26 + f.se()
	f.se() // pic_init_qs
	f.se() // chroma_qp_index_offset
	p.deblocking = f.flag()
	f.flag() // constrained_intra_pred_flag
	p.redundantPics = f.flag()
	if f.err != nil {
		return p, fmt.Errorf("read H.264 picture parameter set: %w", f.err)
	}
	if p.qp < -36 || p.qp > 51 || p.references > 32 { // 7.4.2.2
		return p, fmt.Errorf("read H.264 picture parameter set: %w", ErrH264Config)
	}
	return p, nil
}

// Follow tells the repeater that an access unit (in the form of Frame.Data) was sent: the next picture follows it. If the picture is not a
// reference picture, the reference picture before it is repeated, for which Follow must be called first.
func (r *H264Repeater) Follow(unit []byte) error {
	slice := firstSlice(unit)
	if slice == nil {
		return fmt.Errorf("%w: an access unit without a slice", ErrH264Repeat)
	}
	reference := slice[0]&0x60 != 0
	if !reference && !r.follows {
		return fmt.Errorf("%w: no reference picture", ErrH264Repeat)
	}
	r.follows = false
	h, err := r.readSlice(slice)
	if err != nil {
		return err
	}
	r.pps, r.frameNum, r.order, r.follows = h.pps, h.frameNum, h.order, true
	if reference {
		r.frameNum++
	}
	return nil
}

// H264Reference reports whether an access unit (in the form of Frame.Data) is a reference picture.
func H264Reference(unit []byte) bool {
	slice := firstSlice(unit)
	return slice != nil && slice[0]&0x60 != 0
}

// H264IDR reports whether an access unit (in the form of Frame.Data) is an IDR picture: no later picture refers to one before it.
func H264IDR(unit []byte) bool {
	slice := firstSlice(unit)
	return slice != nil && slice[0]&0x1f == naluIDR
}

// firstSlice returns the first NAL unit with a slice, nil if there is none.
func firstSlice(unit []byte) []byte {
	for len(unit) > 4 {
		size := uint64(binary.BigEndian.Uint32(unit))
		unit = unit[4:]
		if size == 0 || size > uint64(len(unit)) {
			return nil
		}
		if t := unit[0] & 0x1f; t == naluSlice || t == naluIDR {
			return unit[:size]
		}
		unit = unit[size:]
	}
	return nil
}

type sliceHeader struct {
	pps      pictureParameters
	frameNum uint32
	order    uint32
}

// readSlice reads the part of a slice header (H.264, 7.3.3) that tells whether the picture can be repeated.
func (r *H264Repeater) readSlice(nalu []byte) (sliceHeader, error) {
	f := newFields(nalu, 1024)
	f.ue() // first_mb_in_slice
	kind := f.ue() % 5
	id := f.ue()
	pps, known := r.all[id]
	if f.err == nil && (!known || kind != sliceP && kind != sliceI) {
		return sliceHeader{}, fmt.Errorf("%w: a slice of type %d", ErrH264Repeat, kind)
	}
	h := sliceHeader{pps: pps}
	h.frameNum = f.bits(r.frameNumBits())
	if nalu[0]&0x1f == naluIDR {
		f.ue() // idr_pic_id
	}
	if r.sps.PicOrderCntType == 0 {
		h.order = f.bits(r.orderBits())
		if pps.bottomOrder {
			f.se()
		}
	}
	if pps.redundantPics {
		f.ue()
	}
	if kind == sliceP {
		r.skipReferences(f, pps)
	}
	if nalu[0]&0x60 != 0 && !shortTerm(f, nalu[0]&0x1f == naluIDR) && f.err == nil {
		return h, fmt.Errorf("%w: the last is a long-term reference", ErrH264Repeat)
	}
	if f.err != nil {
		return h, fmt.Errorf("read H.264 slice header: %w", f.err)
	}
	return h, nil
}

// Slice types (H.264, table 7-6), modulo 5.
const (
	sliceP = 0
	sliceI = 2
)

func (r *H264Repeater) frameNumBits() int { return int(r.sps.Log2MaxFrameNumMinus4) + 4 }
func (r *H264Repeater) orderBits() int    { return int(r.sps.Log2MaxPicOrderCntLsbMinus4) + 4 }

// monochrome reports whether ChromaArrayType is 0. ChromaFormatIdc is set only for high profiles; the others have colour.
func (r *H264Repeater) monochrome() bool {
	switch r.sps.ProfileIdc {
	case 66, 77, 88:
		return false
	}
	return r.sps.ChromaFormatIdc == 0
}

// skipReferences skips the reference list and the weights of a P slice (H.264, 7.3.3.1, 7.3.3.2).
func (r *H264Repeater) skipReferences(f *fields, pps pictureParameters) {
	references := pps.references
	if f.flag() {
		references = f.ue() + 1
	}
	if f.flag() {
		for f.err == nil && f.ue() != 3 {
			f.ue()
		}
	}
	if !pps.weighted {
		return
	}
	f.ue()
	if !r.monochrome() {
		f.ue()
	}
	for range min(references, 32) {
		if f.flag() {
			f.se()
			f.se()
		}
		if !r.monochrome() && f.flag() {
			for range 4 {
				f.se()
			}
		}
	}
}

// shortTerm reads the marking of a reference picture (H.264, 7.3.3.3). It reports whether the picture stays the latest short-term reference,
// to which a P slice refers first.
func shortTerm(f *fields, idr bool) bool {
	if idr {
		f.flag() // no_output_of_prior_pics_flag
		return !f.flag()
	}
	if !f.flag() {
		return true
	}
	for f.err == nil {
		switch f.ue() {
		case 0:
			return true
		case 1, 2, 4:
			f.ue()
		case 3:
			f.ue()
			f.ue()
		default: // 5 and 6: all references are dropped, or the picture becomes a long-term reference
			return false
		}
	}
	return false
}

// Next returns an access unit (in the form of Frame.Data) that repeats the picture. It fails with ErrH264Repeat if there is no picture.
func (r *H264Repeater) Next() ([]byte, error) {
	if !r.follows {
		return nil, fmt.Errorf("%w: there is none yet", ErrH264Repeat)
	}
	r.order += 2 // two fields
	var w bitWriter
	r.writeHeader(&w)
	r.frameNum++
	macroblocks := (r.sps.PicWidthInMbsMinus1 + 1) * (r.sps.PicHeightInMapUnitsMinus1 + 1)
	if r.pps.cabac {
		w.align(1) // cabac_alignment_one_bit
		writeSkipped(&w, macroblocks)
	} else {
		w.ue(macroblocks) // mb_skip_run
		w.bits(1, 1)      // rbsp_stop_one_bit
	}
	w.align(0)
	return lengthPrefixed(1<<5|naluSlice, w.b), nil
}

// writeHeader writes the header of a P slice that changes no state of the decoder (H.264, 7.3.3).
func (r *H264Repeater) writeHeader(w *bitWriter) {
	w.ue(0)          // first_mb_in_slice
	w.ue(5 + sliceP) // the picture has no other slices
	w.ue(r.pps.id)
	w.bits(r.frameNum, r.frameNumBits())
	if r.sps.PicOrderCntType == 0 {
		w.bits(r.order, r.orderBits())
		if r.pps.bottomOrder {
			w.se(0)
		}
	}
	if r.pps.redundantPics {
		w.ue(0)
	}
	w.bits(1, 1) // num_ref_idx_active_override_flag
	w.ue(0)      // num_ref_idx_l0_active_minus1: one reference, the latest
	w.bits(0, 1) // ref_pic_list_modification_flag_l0
	if r.pps.weighted {
		w.ue(0) // luma_log2_weight_denom
		if !r.monochrome() {
			w.ue(0)
			w.bits(0, 1) // chroma_weight_l0_flag
		}
		w.bits(0, 1) // luma_weight_l0_flag
	}
	w.bits(0, 1) // adaptive_ref_pic_marking_mode_flag
	qp := r.pps.qp
	if r.pps.cabac {
		qp = skipQP
		w.ue(skipTable)
	}
	w.se(qp - r.pps.qp) // has no effect without residuals
	if r.pps.deblocking {
		w.ue(1) // there are no edges to filter
	}
}

// lengthPrefixed makes an access unit from the header and the payload of a NAL unit, with emulation prevention (H.264, 7.4.1).
func lengthPrefixed(header byte, payload []byte) []byte {
	b := append(make([]byte, 0, 4+1+len(payload)+len(payload)/2), 0, 0, 0, 0, header)
	zeros := 0
	for _, x := range payload {
		if zeros == 2 && x <= 3 {
			b = append(b, 3)
			zeros = 0
		}
		b = append(b, x)
		if zeros++; x != 0 {
			zeros = 0
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}
