package rtc

// bFrameDetector detects B-frames: pictures that are not shown in the order in which they are sent. RTP tells when a
// picture is shown, but not when it is decoded, so the decoding times stay unknown.
type bFrameDetector struct {
	last           uint32 // RTP time
	pictures, back int    // in this window; back counts the pictures that are shown before the one sent before them
}

// A window of orderWindow pictures has B-frames if orderBack of them go back. When the sender's clock jumps, one does.
const (
	orderWindow = 64
	orderBack   = 4
	orderReach  = 2 * 90000 // in RTP time: 2 s. A step farther back means another clock
)

// outOfOrder notes the RTP time of a picture. It returns true if this picture goes back, and enough pictures before it did.
func (d *bFrameDetector) outOfOrder(rtpTime uint32) bool {
	step := int32(rtpTime - d.last)
	d.last = rtpTime
	if d.pictures++; d.pictures > orderWindow {
		d.pictures, d.back = 0, 0
	}
	if step >= 0 || step < -orderReach {
		return false
	}
	d.back++
	return d.back >= orderBack
}
