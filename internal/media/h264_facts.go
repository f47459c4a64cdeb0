package media

import "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

// H264Profile is what the parameter sets of H.264 say about the coding tools.
type H264Profile struct {
	Name    string // "Main"; "" for a profile that this package does not know
	BFrames bool   // pictures may come in another order than they are shown in; false also if the parameter sets do not say
	// Common is true for the profiles that every player has: Baseline, Main and High with 8 bits and 4:2:0.
	Common bool
}

// Numbers of profile_idc (ITU-T H.264, A.2).
const (
	profileBaseline = 66
	profileMain     = 77
	profileHigh     = 100
)

var profileNames = map[uint8]string{
	profileBaseline: "Baseline", profileMain: "Main", 88: "Extended", profileHigh: "High", 110: "High 10", 122: "High 4:2:2", 244: "High 4:4:4 Predictive",
	44: "CAVLC 4:4:4 Intra",
}

// H264ProfileOf reads the profile from a Track.Config. ok is false if there is none.
func H264ProfileOf(config []byte) (p H264Profile, ok bool) {
	sets, _, err := H264ParameterSets(config)
	if err != nil || len(sets) == 0 {
		return H264Profile{}, false
	}
	var sps h264.SPS
	if sps.Unmarshal(sets[0]) != nil {
		return H264Profile{}, false
	}
	p.Name = profileNames[sps.ProfileIdc]
	p.Common = sps.ProfileIdc == profileBaseline || sps.ProfileIdc == profileMain || sps.ProfileIdc == profileHigh
	if sps.VUI != nil && sps.VUI.BitstreamRestriction != nil {
		p.BFrames = sps.VUI.BitstreamRestriction.MaxNumReorderFrames > 0
	}
	return p, true
}
