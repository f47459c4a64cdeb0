package sdp

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Type is one payload type of a section.
type Type struct {
	Number   uint8
	Codec    Codec  // zero: neither a=rtpmap nor RFC 3551 says
	Params   string // the value of a=fmtp, "" if there is none
	PLI, FIR bool   // a=rtcp-fb has nack pli, ccm fir
}

// Param returns the value of a parameter of a=fmtp, "" if there is none. Names are compared without case.
func (t Type) Param(name string) string {
	for part := range strings.SplitSeq(t.Params, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Mode returns the packetization mode of H.264. It is 0 if the parameter is absent (RFC 6184, 8.1), and -1 if it cannot be read.
func (t Type) Mode() int {
	value := t.Param("packetization-mode")
	if value == "" {
		return 0
	}
	mode, err := strconv.Atoi(value)
	if err != nil || mode < 0 {
		return -1
	}
	return mode
}

// Profile returns the profile_idc of H.264 as two hexadecimal digits in lower case: "42" is Baseline, also if the parameter is absent
// (RFC 6184, 8.1). The constraint bits and the level are left out on purpose: endpoints that compare them refuse each other for nothing.
func (t Type) Profile() string {
	level := strings.ToLower(t.Param("profile-level-id"))
	if len(level) < 2 {
		return "42"
	}
	return level[:2]
}

// ParameterSets returns the value of sprop-parameter-sets if it has a sequence and a picture parameter set. Some phones send an empty
// value, or leave one of the sets out. Then it returns "", and the sets must come in the stream.
func (t Type) ParameterSets() string {
	const sps, pps = 7, 8 // nal_unit_type (H.264, table 7-1)
	value := t.Param("sprop-parameter-sets")
	var has [32]bool
	for set := range strings.SplitSeq(value, ",") {
		unit, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(set, "="))
		if err == nil && len(unit) > 1 {
			has[unit[0]&0x1f] = true
		}
	}
	if !has[sps] || !has[pps] {
		return ""
	}
	return value
}

// HasEvent says whether the type of telephone events has an event: 0 to 9 are the digits, 10 is *, 11 is #, 12 to 15 are A to D. Without
// parameters it has these 16 (RFC 4733, 2.4.1).
func (t Type) HasEvent(event int) bool {
	if t.Params == "" {
		return event >= 0 && event <= 15
	}
	for part := range strings.SplitSeq(t.Params, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(first)
		to, toErr := strconv.Atoi(last)
		if !isRange {
			to, toErr = from, err
		}
		if err == nil && toErr == nil && from <= event && event <= to {
			return true
		}
	}
	return false
}

// isMedia says whether the type is sound or a picture, and not digits or comfort noise.
func (t Type) isMedia() bool { return !t.Codec.isEvents() && !t.Codec.isNoise() }

// usable says whether we can receive the type. Its codec is another question. Modes of H.264 other than 0 and 1 interleave. Profiles
// other than Baseline, Main and High are not taken by RTMP servers.
func (t Type) usable() bool {
	if t.Codec != H264 {
		return true
	}
	mode, profile := t.Mode(), t.Profile()
	return (mode == 0 || mode == 1) && (profile == "42" || profile == "4d" || profile == "64")
}
