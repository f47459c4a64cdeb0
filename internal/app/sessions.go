package app

import (
	"transponder/internal/rest"
	"transponder/internal/wcs"
)

// sessions gives the REST API what it asks for of the signalling.
type sessions struct{ *wcs.Server }

func (s sessions) Connections() []rest.Connection {
	var all []rest.Connection
	for _, c := range s.Server.Connections() {
		all = append(all, rest.Connection{
			SessionID:            c.SessionID,
			AppKey:               c.AppKey,
			ClientVersion:        c.ClientVersion,
			ClientOSVersion:      c.ClientOSVersion,
			ClientBrowserVersion: c.ClientBrowserVersion,
			MediaProviders:       c.MediaProviders,
			Custom:               c.Custom,
			KeepAlive:            c.KeepAlive,
			Connected:            c.Connected,
			Address:              c.Peer,
			Origin:               c.Origin,
			Created:              c.Created,
			Publishers:           c.Publishers,
			Players:              c.Players,
		})
	}
	return all
}

func (s sessions) Players() []rest.Player {
	var all []rest.Player
	for _, p := range s.Server.Players() {
		all = append(all, rest.Player{
			ID:           p.ID,
			Name:         p.Name,
			SessionID:    p.SessionID,
			AppKey:       p.AppKey,
			Provider:     "WebRTC",
			Transport:    p.Transport,
			Playing:      p.Playing,
			HasVideo:     p.HasVideo,
			HasAudio:     p.HasAudio,
			AudioMuted:   p.AudioMuted,
			VideoMuted:   p.VideoMuted,
			Video:        p.Video,
			Audio:        p.Audio,
			VideoRateBPS: p.VideoRateBPS,
			Created:      p.Created,
		})
	}
	return all
}
