// Code generated from api/openapi.yaml; DO NOT EDIT. Run: go generate ./pkg/client

package client

import (
	"encoding/json"
	"time"
)

// NewDestination is what CreateDestination sends.
type NewDestination struct {
	// 1 to 64 letters a to z, digits, dots, dashes and underscores.
	Name string `json:"name"`
	// The whole address, with the key. `***` is refused: it stands for a key in answers.
	RTMPURL *string `json:"rtmpUrl,omitzero"`
	// Instead of rtmpUrl, with `key`: the address without the key.
	Server *string `json:"server,omitzero"`
	// Instead of rtmpUrl: the stream key, for `server` or for the server of `preset`.
	Key *string `json:"key,omitzero"`
	// A platform of `/destination/presets`.
	Preset *string `json:"preset,omitzero"`
	// With `key` and `preset`: the backup server of the platform instead of its first one.
	Backup bool `json:"backup,omitzero"`
	// As for a push. With `key` it is true.
	RTMPTransponderFullURL *bool `json:"rtmpTransponderFullUrl,omitzero"`
	// As for a push.
	RTMPFlashVersion *string `json:"rtmpFlashVersion,omitzero"`
	// Those of a push, for pushes that have no options of their own. An empty object takes them away.
	Options *StartPushOptions `json:"options,omitzero"`
	// Patterns of the streams that may be pushed there; `*` stands for any characters. Absent: all.
	Streams []string `json:"streams,omitzero"`
	// The application whose members may push there. Clients of other applications cannot see it.
	App *string `json:"app,omitzero"`
	// A text for people.
	Label *string `json:"label,omitzero"`
}

// Destination is what CreateDestination returns.
// A destination. Those who are no administrators get name, label, preset, streams, app, usedBy and options only.
type Destination struct {
	Name    string   `json:"name"`
	Label   string   `json:"label,omitzero"`
	Preset  string   `json:"preset,omitzero"`
	Streams []string `json:"streams"`
	App     string   `json:"app,omitzero"`
	// Pushes that go there now.
	UsedBy int `json:"usedBy"`
	// The address without keys and passwords.
	Target string `json:"target,omitzero"`
	// false: the address cannot be read, because the key that sealed it is gone. Give it anew.
	KeySet                 bool   `json:"keySet,omitzero"`
	RTMPTransponderFullURL bool   `json:"rtmpTransponderFullUrl,omitzero"`
	RTMPFlashVersion       string `json:"rtmpFlashVersion,omitzero"`
	// Those of a push. Those who are no administrators get an empty object if there are none, and nothing if options.backupUrls names other destinations.
	Options *PushOptions `json:"options,omitzero"`
	// Milliseconds since 1970.
	CreatedAt Moment `json:"createdAt,omitzero"`
	// Milliseconds since 1970.
	ChangedAt Moment `json:"changedAt,omitzero"`
}

// Preset is what ListPresets returns.
type Preset struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// The address to which the key is appended. Absent: each account has one of its own.
	Server string `json:"server,omitzero"`
	// A second server for the same key.
	Backup string `json:"backup,omitzero"`
	// Where people find the key.
	KeyURL string `json:"keyUrl,omitzero"`
	// The time between key frames that the platform recommends.
	KeyFrameSeconds float64 `json:"keyFrameSeconds,omitzero"`
	MaxVideoKbps    int     `json:"maxVideoKbps,omitzero"`
	MaxAudioKbps    int     `json:"maxAudioKbps,omitzero"`
	// Of pictures that are wider than high; of others it is the height.
	MaxWidth  int `json:"maxWidth,omitzero"`
	MaxHeight int `json:"maxHeight,omitzero"`
	MaxFPS    int `json:"maxFps,omitzero"`
	// Of sound, in Hz. Absent: any.
	SampleRates []int `json:"sampleRates,omitzero"`
	NeedsSound  bool  `json:"needsSound,omitzero"`
	// The platform takes no B-frames.
	NoBFrames bool `json:"noBFrames,omitzero"`
	// The platform takes only the Baseline profile of H.264.
	Baseline bool `json:"baseline,omitzero"`
	// The page of the platform with these limits.
	Limits string `json:"limits,omitzero"`
	// What `options.codecs` of a push may name.
	Codecs []string `json:"codecs"`
}

// AppFilter is what FindApps sends.
type AppFilter struct {
	Name string `json:"name,omitzero"`
	Key  string `json:"key,omitzero"`
}

// AppMethods is what ListAppMethods returns.
type AppMethods struct {
	Methods []string `json:"methods"`
	Default []string `json:"default"`
}

// AppGrant is a part of App.
type AppGrant struct {
	// One of publish, play, push, read, control.
	Actions []string `json:"actions"`
	// Patterns of names.
	Streams []string `json:"streams,omitzero"`
	// Patterns of destinations that a push may go to.
	Destinations []string `json:"destinations,omitzero"`
	// Patterns of addresses that a push may go to.
	URLs    []string `json:"urls,omitzero"`
	Replace bool     `json:"replace,omitzero"`
}

// AppLimits is a part of App.
type AppLimits struct {
	Publishers  int `json:"publishers,omitzero"`
	Players     int `json:"players,omitzero"`
	Pushes      int `json:"pushes,omitzero"`
	BitrateKbps int `json:"bitrateKbps,omitzero"`
}

// NewApp is what CreateApp sends.
type NewApp struct {
	Name string `json:"name"`
	// What clients send as appKey. Absent in a new application: its name.
	Key *string `json:"key,omitzero"`
	// Of the backend. The method is added to its path.
	URL *string `json:"url,omitzero"`
	// The hooks that are sent. Absent in a new application: all but StreamKeepAliveEvent.
	Methods []string `json:"methods,omitzero"`
	// HTTP Basic for the backend.
	Username *string `json:"username,omitzero"`
	Password *string `json:"password,omitzero"`
	// One of open, token, hook, token+hook.
	// What clients need. Empty: hook with a url, otherwise open.
	Auth *string `json:"auth,omitzero"`
	// One of LOG, FAIL.
	// What a refusal does if the backend has not said it. Empty: as rest_on_error says.
	OnError *string `json:"onError,omitzero"`
	// What a client may do whom the backend has admitted.
	Grants        []AppGrant `json:"grants,omitzero"`
	Limits        *AppLimits `json:"limits,omitzero"`
	Owner         *string    `json:"owner,omitzero"`
	MainClass     *string    `json:"mainClass,omitzero"`
	CallbackClass *string    `json:"callbackClass,omitzero"`
}

// App is what ListApps returns.
type App struct {
	Name        string   `json:"name"`
	Key         string   `json:"key"`
	URL         string   `json:"url"`
	Methods     []string `json:"methods"`
	Username    string   `json:"username"`
	PasswordSet bool     `json:"passwordSet"`
	// One of open, token, hook, token+hook.
	Auth string `json:"auth"`
	// One of LOG, FAIL.
	OnError       string     `json:"onError,omitzero"`
	Grants        []AppGrant `json:"grants"`
	Limits        AppLimits  `json:"limits"`
	Owner         string     `json:"owner,omitzero"`
	MainClass     string     `json:"mainClass,omitzero"`
	CallbackClass string     `json:"callbackClass,omitzero"`
	// One of built in, state, file.
	Source string `json:"source"`
}

// AccessReport is what ReportAccess returns.
type AccessReport struct {
	// One of auto, closed, open.
	Mode     string            `json:"mode"`
	Warnings []string          `json:"warnings"`
	Who      []AccessReportWho `json:"who"`
}

// AccessReportWho is a part of AccessReport.
type AccessReportWho struct {
	// A kind of client, or user NAME.
	Who string `json:"who"`
	// One of publish, play, push, read, control, admin.
	Action  string `json:"action"`
	Allowed bool   `json:"allowed"`
	// How, or what is missing.
	Words string `json:"words"`
}

// Grant is a part of NewToken.
// Allows actions on streams. A list that is absent allows nothing; the pattern * allows all.
type Grant struct {
	// One of publish, play, push, read, control, admin.
	Actions []string `json:"actions"`
	// Patterns of names. * stands for any run of characters, and nothing else is special.
	Streams []string `json:"streams,omitzero"`
	// Patterns of the names of destinations. Only for push.
	Destinations []string `json:"destinations,omitzero"`
	// Patterns of addresses. Only for push.
	URLs []string `json:"urls,omitzero"`
	// A publisher may take over a name from a live publisher that has shown the same.
	Replace bool `json:"replace,omitzero"`
}

// Limits is a part of NewToken.
// How much the holder may have at a time. 0 or absent is no limit.
type Limits struct {
	Publishers int `json:"publishers,omitzero"`
	Players    int `json:"players,omitzero"`
	Pushes     int `json:"pushes,omitzero"`
	// Of one publisher.
	BitrateKbps int `json:"bitrateKbps,omitzero"`
}

// NewToken is what CreateToken sends.
type NewToken struct {
	Grants []Grant `json:"grants"`
	// Whose token it is. Only administrators choose it.
	Subject string `json:"subject,omitzero"`
	// Seconds in which sessions can begin.
	ExpiresIn int64 `json:"expiresIn,omitzero"`
	// When its sessions end. Absent is never.
	Until Moment `json:"until,omitzero"`
	// The token begins one session only.
	Once   bool    `json:"once,omitzero"`
	Limits *Limits `json:"limits,omitzero"`
	// The application. Only administrators choose it.
	App string `json:"app,omitzero"`
}

// Token is what CreateToken returns.
type Token struct {
	Token     string `json:"token"`
	JTI       string `json:"jti"`
	ExpiresAt Moment `json:"expiresAt"`
}

// NewRevocation is what RevokeTokens sends.
type NewRevocation struct {
	// One token.
	JTI string `json:"jti,omitzero"`
	// All tokens of a subject.
	Sub string `json:"sub,omitzero"`
	// All tokens that a key has signed.
	Kid string `json:"kid,omitzero"`
	// Tokens that were issued later stay valid. Absent is now.
	Before Moment `json:"before,omitzero"`
}

// Revocation is what ListRevocations returns.
type Revocation struct {
	JTI    string `json:"jti,omitzero"`
	Sub    string `json:"sub,omitzero"`
	Kid    string `json:"kid,omitzero"`
	Before Moment `json:"before"`
	At     Moment `json:"at"`
	By     string `json:"by,omitzero"`
}

// NewKey is what CreateKey sends.
type NewKey struct {
	// What people call it.
	Label  string  `json:"label,omitzero"`
	Grants []Grant `json:"grants"`
	// The stream that its holder publishes, whatever name he gives.
	Stream string `json:"stream,omitzero"`
	// When the key and its sessions end. Absent is never.
	ExpiresAt Moment  `json:"expiresAt,omitzero"`
	Limits    *Limits `json:"limits,omitzero"`
	// The application. Only administrators choose it.
	App string `json:"app,omitzero"`
}

// Key is what ListKeys returns.
type Key struct {
	ID    string `json:"id"`
	Key   string `json:"key,omitzero"`
	Label string `json:"label"`
	// Who has made it: user:NAME, key:ID, or the subject of a token. Empty: an administrator on the server.
	Owner      string  `json:"owner"`
	App        string  `json:"app,omitzero"`
	Grants     []Grant `json:"grants"`
	Stream     string  `json:"stream,omitzero"`
	Limits     Limits  `json:"limits"`
	CreatedAt  Moment  `json:"createdAt"`
	ExpiresAt  Moment  `json:"expiresAt,omitzero"`
	LastUsedAt Moment  `json:"lastUsedAt,omitzero"`
	// The address of the client.
	LastUsedFrom string `json:"lastUsedFrom,omitzero"`
}

// Session is what WhoAmI returns.
type Session struct {
	// How the caller has shown who he is: user, token, key, certificate, setting, local or anonymous.
	Kind string `json:"kind"`
	// Of the user, or the subject of the token.
	Name string `json:"name"`
	// viewer, operator, admin, or empty if none of them fits.
	Role string `json:"role"`
	// One of publish, play, push, read, control, admin.
	Actions []string `json:"actions"`
	// Patterns of the streams that he may do something with.
	Streams []string `json:"streams"`
	App     string   `json:"app"`
	// The setting access: auto, closed or open.
	Mode string `json:"mode"`
	// When he logged in, in ms since 1970.
	Since Moment `json:"since,omitzero"`
	// When the session or the token ends if it is not used, in ms since 1970.
	ExpiresAt Moment `json:"expiresAt,omitzero"`
}

// OpenSession is what FindAllSessions returns.
type OpenSession struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
	// Of the client that has logged in.
	Address string `json:"address"`
	// ms since 1970
	Created Moment `json:"created"`
	// ms since 1970
	LastSeen  Moment `json:"lastSeen"`
	UserAgent string `json:"userAgent"`
}

// User is what FindAllUsers returns.
type User struct {
	Name string `json:"name"`
	// One of viewer, operator, admin.
	Role    string   `json:"role"`
	Streams []string `json:"streams"`
	// One of state, file.
	// file: the user is in rest_users_file, and can be changed only there.
	Source string `json:"source"`
	// ms since 1970
	Created Moment `json:"created,omitzero"`
	// ms since 1970; exact to an hour after a restart
	LastLogin Moment `json:"lastLogin,omitzero"`
	// Only if the server has just made it.
	Password string `json:"password,omitzero"`
}

// NodeState is what DrainNode returns.
type NodeState struct {
	NodeID string `json:"nodeId,omitzero"`
	// One of SERVING, DRAINING.
	State string `json:"state"`
	// Until the server stops at the latest, in milliseconds. Only while it is draining.
	FinishMs int `json:"finishMs,omitzero"`
	// Streams that the server has now.
	Streams int `json:"streams"`
}

// Reloaded is what ReloadNode returns.
type Reloaded struct {
	// Settings that have a new value now.
	Changed []string `json:"changed"`
	// Settings whose new value counts after a restart.
	Restart []string `json:"restart"`
	// What was read again from files.
	Read []string `json:"read"`
	// Files that cannot be used, each with the reason. What they hold is as it was.
	Wrong []string `json:"wrong"`
}

// MediaList is what FindAllMedia returns.
type MediaList struct {
	Files []MediaFile `json:"files"`
	// The folder has more files than are listed.
	More bool `json:"more"`
	// The caller may upload and remove.
	Change bool `json:"change"`
}

// MediaFile is a part of MediaList.
type MediaFile struct {
	// For `soundFile`, `slate` and `picture`.
	Name string `json:"name"`
	// One of sound, picture.
	Kind     string `json:"kind"`
	Bytes    int64  `json:"bytes"`
	Modified Moment `json:"modified"`
	// Of a sound.
	DurationMs int64 `json:"durationMs,omitzero"`
	// Of a picture.
	Width  int `json:"width,omitzero"`
	Height int `json:"height,omitzero"`
	// Why it can be neither played nor shown. Absent: it can.
	Fault string `json:"fault,omitzero"`
}

// LogLevel is what ListLogLevels returns.
type LogLevel struct {
	// Absent: all packages that have no level of their own.
	Package string `json:"package,omitzero"`
	// One of DEBUG, INFO, WARN, ERROR.
	Level string `json:"level"`
	// When the level goes back, in ms since 1970. Absent: when the server ends.
	Until Moment `json:"until,omitzero"`
}

// NewLogLevel is what SetLogLevel sends.
type NewLogLevel struct {
	// DEBUG, INFO, WARN or ERROR. Absent: as it was before it was set.
	Level string `json:"level,omitzero"`
	// A package of the server, such as rtc or rtc/pion. Absent: all that have no level of their own.
	Package string `json:"package,omitzero"`
	// When the level goes back, at most 86400. 0 or absent: when the server ends.
	ForSeconds int64 `json:"forSeconds,omitzero"`
}

// AuditLine is what AuditLog returns.
type AuditLine struct {
	ID  int          `json:"id,omitzero"`
	At  time.Time    `json:"at"`
	Who AuditLineWho `json:"who"`
	// Address of the client.
	From string `json:"from,omitzero"`
	// The door: rest, websocket, whip, whep, rtmp, metrics, stat, sip, command.
	Via string `json:"via"`
	// Of the page.
	Origin string `json:"origin,omitzero"`
	Do     string `json:"do"`
	Stream string `json:"stream,omitzero"`
	Target string `json:"target,omitzero"`
	// The user, key, app or destination that was changed, or the user that somebody claimed to be.
	Object string `json:"object,omitzero"`
	OK     bool   `json:"ok"`
	Why    string `json:"why,omitzero"`
	// Of refusals that the line sums up.
	Count   int    `json:"count,omitzero"`
	Request string `json:"request,omitzero"`
	// The server at which it happened, of several that work as one.
	Node string `json:"node,omitzero"`
}

// AuditLineWho is a part of AuditLine.
type AuditLineWho struct {
	Kind string `json:"kind"`
	Sub  string `json:"sub,omitzero"`
	ID   string `json:"id,omitzero"`
	App  string `json:"app,omitzero"`
}

// StartPush is what StartPush sends.
type StartPush struct {
	// The name on this server of the stream to publish.
	StreamName string `json:"streamName"`
	// rtmp:// or rtmps://, with a name and a password if the destination wants them. The path is the application. The stream is
	// published under its own name with the prefix of the settings.
	RTMPURL string `json:"rtmpUrl"`
	// The last part of the path is the name to publish under. An address without that part is refused. If absent, the settings decide.
	RTMPTransponderFullURL *bool `json:"rtmpTransponderFullUrl,omitzero"`
	// The version that this server reports to the destination. Some destinations want a certain one.
	RTMPFlashVersion string `json:"rtmpFlashVersion,omitzero"`
	// Width of the picture that is sent. It counts only together with height, and only with
	// video_transcoder_preserve_aspect_ratio=false or options.fit.
	Width int64 `json:"width,omitzero"`
	// Height of the picture that is sent (of an upright picture: its width). Asks for transcoding. Sizes are made even.
	Height int64 `json:"height,omitzero"`
	// In frames. Asks for transcoding.
	KeyFrameInterval int64 `json:"keyFrameInterval,omitzero"`
	// Pictures a second. Asks for transcoding.
	FPS     float64           `json:"fps,omitzero"`
	Options *StartPushOptions `json:"options,omitzero"`
}

// StartPushOptions is a part of StartPush.
type StartPushOptions struct {
	// One of mute, sound_on.
	Action    string `json:"action,omitzero"`
	SoundFile string `json:"soundFile,omitzero"`
	Loop      bool   `json:"loop,omitzero"`
	// One of aac, pcma, pcmu, speex, alaw, ulaw.
	// The codec in which sound is sent. If absent, rtmp_push_audio_codec decides.
	AudioCodec string `json:"audioCodec,omitzero"`
	// Bit rate of AAC, in kbit/s.
	AudioBitrate int64 `json:"audioBitrate,omitzero"`
	// Sampling rate of AAC, in Hz.
	AudioRate int64 `json:"audioRate,omitzero"`
	// Channels of AAC, 1 or 2.
	AudioChannels int64 `json:"audioChannels,omitzero"`
	// Bit rate of the picture, in kbit/s. Asks for transcoding.
	Bitrate int64 `json:"bitrate,omitzero"`
	// One of letterbox.
	// The picture is fitted into width x height, with black bars. Without width the picture with its bars is 16:9.
	Fit string `json:"fit,omitzero"`
	// How to reconnect when the connection is lost. If absent, the settings decide.
	Restore *StartPushOptionsRestore `json:"restore,omitzero"`
	// One of end, hold.
	// end, the default: the push ends with its stream. hold: the connection stays, with a repeated picture and silence. The
	// push goes on when somebody publishes under the same name again.
	OnSourceLoss string `json:"onSourceLoss,omitzero"`
	// How long to hold before the push ends. If absent, the settings decide.
	HoldMs *int64 `json:"holdMs,omitzero"`
	// How long the push waits for its publisher after a restart of the server. 0: the push ends with the server. If absent, the settings
	// decide.
	ResumeMs *int64 `json:"resumeMs,omitzero"`
	// Name of a PNG or JPEG file in media_dir to show while holding. Absent means the last picture.
	Slate string `json:"slate,omitzero"`
	// What the push shows while the stream has no pictures: "card" for a card with the name of the stream, or of a phone that was called; otherwise the name of a PNG or JPEG file in media_dir. If absent, the sound is sent alone.
	Picture string `json:"picture,omitzero"`
	// One of hevc, av1, vp9, opus.
	// Codecs that may be sent untouched, beside H.264 and AAC, if the destination says that it takes them (Enhanced RTMP).
	Codecs []string `json:"codecs,omitzero"`
	// More addresses, each like rtmpUrl. They are tried in order when the stream cannot go to the address before. The caller needs the right to push to each.
	BackupURLs []string `json:"backupUrls,omitzero"`
	// The stream returns to an address before when that is well again. Absent means true.
	FailBack *bool `json:"failBack,omitzero"`
	// The stream goes to all addresses at the same time, with equal timestamps. Absent means false.
	Simultaneous bool `json:"simultaneous,omitzero"`
	// Streams that are sent when the stream fails, in this order, over the same connection. The caller needs the right to push
	// each of them.
	BackupStreams []string `json:"backupStreams,omitzero"`
	// A stream that sends nothing for so long has failed; 300 to 60000. If absent, the settings decide.
	BackupAfterMs int64 `json:"backupAfterMs,omitzero"`
	// One of auto, manual.
	// auto, the default: the push returns to a stream that comes earlier in the list when that stream is well again. manual: it
	// returns only by /push/source.
	Return string `json:"return,omitzero"`
}

// StartPushOptionsRestore is a part of StartPushOptions.
// How to reconnect when the connection is lost. If absent, the settings decide.
type StartPushOptionsRestore struct {
	// How many reconnects in a row are tried before the push fails. 0 for none, "unlimited" or -1 for any number.
	Attempts int64 `json:"attempts"`
	// Pause before the first reconnect, 100 to 3600000. If absent, the settings decide.
	FirstPauseMs int64 `json:"firstPauseMs,omitzero"`
	// Each pause is so many times as long as the one before, 1 to 10. Absent means 1.
	Factor float64 `json:"factor,omitzero"`
	// The longest pause, 100 to 3600000. Absent means 60000.
	MaxPauseMs int64 `json:"maxPauseMs,omitzero"`
	// The share, 0 to 1, by which a pause is shortened at random.
	Jitter float64 `json:"jitter,omitzero"`
	// After the push was live for so long, attempts and pauses are counted from the beginning. Absent means 30000.
	HealthyForMs int64 `json:"healthyForMs,omitzero"`
}

// CheckPush is what CheckPush sends.
// The members of StartPush that say where the push goes and what is sent.
type CheckPush struct {
	// The stream to compare with the rules of the platform. It may be absent, unless publish is true and the address does not end in the name or key.
	StreamName string `json:"streamName,omitzero"`
	// As for a push.
	RTMPURL                string  `json:"rtmpUrl"`
	RTMPTransponderFullURL *bool   `json:"rtmpTransponderFullUrl,omitzero"`
	RTMPFlashVersion       string  `json:"rtmpFlashVersion,omitzero"`
	Width                  int64   `json:"width,omitzero"`
	Height                 int64   `json:"height,omitzero"`
	KeyFrameInterval       int64   `json:"keyFrameInterval,omitzero"`
	FPS                    float64 `json:"fps,omitzero"`
	// As for a push.
	Options *StartPushOptions `json:"options,omitzero"`
	// Publish two seconds of a test card, to find out whether the name or key is right. That may begin a broadcast, or end one that another
	// encoder sends with the same key. It is not done while a push of this server goes to the address.
	Publish bool `json:"publish,omitzero"`
}

// Checked is what CheckPush returns.
type Checked struct {
	// No step has failed, at any address.
	OK bool `json:"ok"`
	// The address without secrets.
	Target string `json:"target"`
	// The id of the platform in `/destination/presets`; absent if it is not known.
	Platform string `json:"platform,omitzero"`
	// In the order in which they were taken. After a step that failed, only stream follows. If a server redirects the push, the steps begin
	// again with name. Callers who must not learn about private networks get a single step address in place of all from address to media.
	Steps []CheckedStep `json:"steps"`
	// What about the stream breaks the rules of the platform.
	Findings []Finding `json:"findings"`
	// The same about each of options.backupUrls; absent if there are none.
	Backups []CheckedBackup `json:"backups,omitzero"`
}

// CheckedBackup is a part of Checked.
type CheckedBackup struct {
	// No step has failed.
	OK bool `json:"ok"`
	// The address without secrets.
	Target string `json:"target"`
	// As of the first address.
	Platform string        `json:"platform,omitzero"`
	Steps    []CheckedStep `json:"steps"`
	Findings []Finding     `json:"findings"`
}

// CheckedStep is a part of Checked.
type CheckedStep struct {
	Step   CheckStep   `json:"step"`
	Result CheckResult `json:"result"`
	// How long the step took.
	Ms int64 `json:"ms"`
	// The address and port that was dialled.
	Address string     `json:"address,omitzero"`
	Reason  PushReason `json:"reason,omitzero"`
	// A sentence for people.
	Info string `json:"info"`
	// Only in a line of its own, and not about rtmpUrl. Which of options.backupUrls the step is about, 1 for the first.
	Backup int64 `json:"backup,omitzero"`
}

// CheckStep is one of the values below.
// name: the host is resolved. policy: the rules of this server. address: TCP, once for each address of the host. tls: TLS and the
// certificate. handshake: of RTMP. connect: the application, and the login. publish: the name or key. media: two seconds of a test card.
// stream: the stream, compared with the rules of the platform.
type CheckStep string

// The values of CheckStep.
const (
	CheckStepName      CheckStep = "name"
	CheckStepPolicy    CheckStep = "policy"
	CheckStepAddress   CheckStep = "address"
	CheckStepTLS       CheckStep = "tls"
	CheckStepHandshake CheckStep = "handshake"
	CheckStepConnect   CheckStep = "connect"
	CheckStepPublish   CheckStep = "publish"
	CheckStepMedia     CheckStep = "media"
	CheckStepStream    CheckStep = "stream"
)

// CheckResult is one of the values below.
// skipped: the step was not taken or does not matter; info says why.
type CheckResult string

// The values of CheckResult.
const (
	CheckResultOK      CheckResult = "ok"
	CheckResultFailed  CheckResult = "failed"
	CheckResultSkipped CheckResult = "skipped"
)

// Finding is a part of Push.
type Finding struct {
	Code FindingCode `json:"code"`
	// What is wrong, and what to change.
	Info string `json:"info"`
}

// FindingCode is one of the values below.
type FindingCode string

// The values of FindingCode.
const (
	FindingCodeNoSound      FindingCode = "no_sound"
	FindingCodeCodec        FindingCode = "codec"
	FindingCodeProfile      FindingCode = "profile"
	FindingCodeSize         FindingCode = "size"
	FindingCodeFrameRate    FindingCode = "frame_rate"
	FindingCodeKeyInterval  FindingCode = "key_interval"
	FindingCodeBFrames      FindingCode = "b_frames"
	FindingCodeVideoBitrate FindingCode = "video_bitrate"
	FindingCodeAudioBitrate FindingCode = "audio_bitrate"
	FindingCodeAudioCodec   FindingCode = "audio_codec"
	FindingCodeAudioRate    FindingCode = "audio_rate"
)

// PushFilter is what FindPushes sends.
type PushFilter struct {
	MediaSessionID string `json:"mediaSessionId,omitzero"`
	// The name of the stream on this server, or the name at the destination.
	StreamName string `json:"streamName,omitzero"`
	// As it was given to startup.
	RTMPURL string `json:"rtmpUrl,omitzero"`
}

// Node is what ListNodes returns.
type Node struct {
	// The name of the server (cluster_node_id).
	NodeID string `json:"nodeId"`
	// True for the server that answers; otherwise absent.
	Self bool `json:"self,omitzero"`
	// One of ready, full, draining.
	// full: it has no room for another stream. draining: it takes no new streams.
	State   string `json:"state"`
	Version string `json:"version"`
	// In ms since 1970.
	StartedAt Moment `json:"startedAt"`
	// Where other servers read its streams. For administrators.
	RTMPAddress string `json:"rtmpAddress,omitzero"`
	// Where publishers may be sent (cluster_http_url). For administrators.
	HTTPURL string `json:"httpUrl,omitzero"`
	// Processor cores that it uses. This and the counts may be some seconds old.
	Cores float64 `json:"cores"`
	// Cores that it may use; absent without a limit.
	CoresAllowed float64 `json:"coresAllowed,omitzero"`
	Streams      int     `json:"streams"`
	Pushes       int     `json:"pushes"`
	Players      int     `json:"players"`
}

// Push is what StartPush returns.
type Push struct {
	MediaSessionID string `json:"mediaSessionId"`
	// The server that runs the push.
	NodeID string `json:"nodeId,omitzero"`
	// True if the server that runs the push does not answer, or has died, so that this is what was written last; otherwise absent.
	Stale bool `json:"stale,omitzero"`
	// The name at the destination; *** if it is a stream key that the caller must not see.
	StreamName string `json:"streamName"`
	// As it was given to startup, stream keys included; for callers who must not see them: as target.
	RTMPURL string `json:"rtmpUrl"`
	// Where the push goes, in a form that may be shown, without user, password, instance, query and name.
	Target string `json:"target"`
	// streamName came with rtmpUrl. It may be a stream key and must not be shown.
	SecretName bool `json:"secretName"`
	// Of the picture that is sent; 0 while it is not known.
	Width  int  `json:"width"`
	Height int  `json:"height"`
	Muted  bool `json:"muted"`
	// A sound file is playing.
	SoundEnabled bool `json:"soundEnabled"`
	// Name of the sound file; absent while none plays.
	SoundFile string      `json:"soundFile,omitzero"`
	Options   PushOptions `json:"options"`
	// Who has asked for the push. Absent if an older version of the server has started it.
	StartedBy *PushStartedBy `json:"startedBy,omitzero"`
	// Only if the push has several addresses. The first is that of rtmpUrl, the others are those of options.backupUrls.
	Addresses []PushAddresse `json:"addresses,omitzero"`
	// As published on this server.
	SourceStreamName string `json:"sourceStreamName"`
	// The stream that is sent now; only with options.backupStreams.
	ActiveStreamName string `json:"activeStreamName,omitzero"`
	// How often the push has changed to another of its streams; absent if it never has.
	SourceSwitches int        `json:"sourceSwitches,omitzero"`
	Status         PushStatus `json:"status"`
	// When the status was entered, in ms since 1970.
	Since       Moment          `json:"since"`
	Reason      PushReason      `json:"reason"`
	ReasonClass PushReasonClass `json:"reasonClass"`
	// The reason in words.
	Info string `json:"info"`
	// What about the stream breaks the rules of the platform that it goes to; absent while nothing does.
	Health []Finding `json:"health,omitzero"`
	// Connections tried.
	Attempts int `json:"attempts"`
	// In ms since 1970.
	StartedAt Moment `json:"startedAt"`
	// In ms since 1970; absent while the push is not over.
	EndedAt Moment `json:"endedAt,omitzero"`
	// In ms since 1970; only while RECONNECTING.
	NextRetryAt Moment `json:"nextRetryAt,omitzero"`
	// Only if false: the disk takes no writes, so the push does not outlive the server.
	Durable   bool  `json:"durable,omitzero"`
	BytesSent int64 `json:"bytesSent"`
	// Bytes that the destination said it has received, as far as that can be understood. Never more than bytesSent.
	BytesAcked      int64 `json:"bytesAcked"`
	VideoFramesSent int64 `json:"videoFramesSent"`
	AudioFramesSent int64 `json:"audioFramesSent"`
	// Frames that were dropped because the destination was too slow.
	DroppedFrames int64 `json:"droppedFrames"`
	// Duration of the video that was dropped; absent while nothing was dropped.
	DroppedMs int64 `json:"droppedMs,omitzero"`
	// Pictures that the encoder had no time for, the same for all pushes that share the encoder; absent while there are none.
	TranscoderDropped int64 `json:"transcoderDropped,omitzero"`
	// Delay that rtmp_out_buffer_enabled adds now; absent without it.
	BufferDelayMs int64 `json:"bufferDelayMs,omitzero"`
	// How often the outgoing buffer ran empty; absent while it has not.
	Bufferings int `json:"bufferings,omitzero"`
	// Bytes that the destination has not got: in the queue, in the system and, as far as that is known, in proxies.
	QueuedBytes int `json:"queuedBytes"`
	// Age of the oldest of these bytes.
	QueuedMs int64 `json:"queuedMs"`
	// Sent over the last second, in kbit/s.
	Bitrate int64 `json:"bitrate"`
	// Time between the last two key frames that were sent.
	KeyFrameIntervalMs int64 `json:"keyFrameIntervalMs"`
}

// PushOptions is a part of Push.
type PushOptions struct {
	Action        string              `json:"action,omitzero"`
	SoundFile     string              `json:"soundFile,omitzero"`
	Loop          bool                `json:"loop,omitzero"`
	AudioCodec    string              `json:"audioCodec,omitzero"`
	AudioBitrate  int                 `json:"audioBitrate,omitzero"`
	AudioRate     int                 `json:"audioRate,omitzero"`
	AudioChannels int                 `json:"audioChannels,omitzero"`
	Bitrate       int                 `json:"bitrate,omitzero"`
	Fit           string              `json:"fit,omitzero"`
	Restore       *PushOptionsRestore `json:"restore,omitzero"`
	OnSourceLoss  string              `json:"onSourceLoss,omitzero"`
	HoldMs        int64               `json:"holdMs,omitzero"`
	ResumeMs      int64               `json:"resumeMs,omitzero"`
	Slate         string              `json:"slate,omitzero"`
	Picture       string              `json:"picture,omitzero"`
	Codecs        []string            `json:"codecs,omitzero"`
	BackupStreams []string            `json:"backupStreams,omitzero"`
	BackupAfterMs int64               `json:"backupAfterMs,omitzero"`
	Return        string              `json:"return,omitzero"`
	// As they were given; for callers who must not see stream keys: without secrets.
	BackupURLs   []string `json:"backupUrls,omitzero"`
	FailBack     bool     `json:"failBack,omitzero"`
	Simultaneous bool     `json:"simultaneous,omitzero"`
}

// PushOptionsRestore is a part of PushOptions.
type PushOptionsRestore struct {
	// -1 for unlimited.
	Attempts     int     `json:"attempts"`
	FirstPauseMs int64   `json:"firstPauseMs,omitzero"`
	Factor       float64 `json:"factor,omitzero"`
	MaxPauseMs   int64   `json:"maxPauseMs,omitzero"`
	Jitter       float64 `json:"jitter,omitzero"`
	HealthyForMs int64   `json:"healthyForMs,omitzero"`
}

// PushStartedBy is a part of Push.
// Who has asked for the push. Absent if an older version of the server has started it.
type PushStartedBy struct {
	// One of local, user, token, key, certificate, hook, setting, anonymous.
	// How he has shown who he is. local: he was on the machine of the server. Absent if the server has started the push by itself.
	Kind string `json:"kind,omitzero"`
	// Of the user, the subject of the token or the owner of the key. Only for those who may end the push.
	Name string `json:"name,omitzero"`
	// One of rest, sdk, auto, hook, call.
	// How the push was asked for. auto: by the settings, for each stream.
	Via string `json:"via"`
}

// PushAddresse is a part of Push.
type PushAddresse struct {
	// The address without secrets.
	Target string `json:"target"`
	// The status of the push at this address. STANDBY means that the stream does not go there.
	Status PushStatus `json:"status"`
	// Why the last connection to this address failed or ended; empty if there was none since the server took the stream.
	Reason PushReason `json:"reason"`
	// The reason in words.
	Info string `json:"info"`
	// When the last connection failed or ended, in ms since 1970; absent with an empty reason.
	FailedAt Moment `json:"failedAt,omitzero"`
	// Connections tried.
	Attempts   int   `json:"attempts"`
	BytesSent  int64 `json:"bytesSent"`
	BytesAcked int64 `json:"bytesAcked"`
}

// PushStatus is one of the values below.
// PUBLISHING: the destination agreed, and takes the media that is sent. DEGRADED: live, but something is wrong. HOLDING: live
// without its stream. RECONNECTING: the pause before the next connection. AWAITING: the push has outlived its server, and waits for its publisher. ENDED
// and FAILED are final.
type PushStatus string

// The values of PushStatus.
const (
	PushStatusStarting     PushStatus = "STARTING"
	PushStatusConnecting   PushStatus = "CONNECTING"
	PushStatusPublishing   PushStatus = "PUBLISHING"
	PushStatusDegraded     PushStatus = "DEGRADED"
	PushStatusHolding      PushStatus = "HOLDING"
	PushStatusReconnecting PushStatus = "RECONNECTING"
	PushStatusDraining     PushStatus = "DRAINING"
	PushStatusAwaiting     PushStatus = "AWAITING"
	PushStatusEnded        PushStatus = "ENDED"
	PushStatusFailed       PushStatus = "FAILED"
)

// PushReason is one of the values below.
// Reason of the last failure, or of the end; empty while all is well.
type PushReason string

// The values of PushReason.
const (
	PushReasonDNS              PushReason = "dns"
	PushReasonTCPRefused       PushReason = "tcp_refused"
	PushReasonUnreachable      PushReason = "unreachable"
	PushReasonTimeout          PushReason = "timeout"
	PushReasonTLS              PushReason = "tls"
	PushReasonTLSVerify        PushReason = "tls_verify"
	PushReasonRTMPHandshake    PushReason = "rtmp_handshake"
	PushReasonRTMPProtocol     PushReason = "rtmp_protocol"
	PushReasonAuthRejected     PushReason = "auth_rejected"
	PushReasonBadApp           PushReason = "bad_app"
	PushReasonKeyInUse         PushReason = "key_in_use"
	PushReasonKeyRejected      PushReason = "key_rejected"
	PushReasonPeerClosed       PushReason = "peer_closed"
	PushReasonPeerStalled      PushReason = "peer_stalled"
	PushReasonPeerSlow         PushReason = "peer_slow"
	PushReasonAddressDown      PushReason = "address_down"
	PushReasonTargetForbidden  PushReason = "target_forbidden"
	PushReasonSourceLost       PushReason = "source_lost"
	PushReasonSourceNoMedia    PushReason = "source_no_media"
	PushReasonSourceNoKeyframe PushReason = "source_no_keyframe"
	PushReasonSourceNoVideo    PushReason = "source_no_video"
	PushReasonSourceNoAudio    PushReason = "source_no_audio"
	PushReasonSourceUnusable   PushReason = "source_unusable"
	PushReasonSourceBFrames    PushReason = "source_b_frames"
	PushReasonCodecUnsupported PushReason = "codec_unsupported"
	PushReasonTranscoderFailed PushReason = "transcoder_failed"
	PushReasonTranscoderSlow   PushReason = "transcoder_slow"
	PushReasonNoCapacity       PushReason = "no_capacity"
	PushReasonTerminated       PushReason = "terminated"
	PushReasonShutdown         PushReason = "shutdown"
	PushReasonRestarted        PushReason = "restarted"
	PushReasonNodeLost         PushReason = "node_lost"
	PushReasonMoved            PushReason = "moved"
	PushReasonResumeExpired    PushReason = "resume_expired"
	PushReasonInternal         PushReason = "internal"
)

// PushReasonClass is one of the values below.
// permanent: the same request will fail again. transient: it may work later. policy: the rules of this server forbid it.
// source: the stream is the cause. operator: somebody asked for it.
type PushReasonClass string

// The values of PushReasonClass.
const (
	PushReasonClassPermanent PushReasonClass = "permanent"
	PushReasonClassTransient PushReasonClass = "transient"
	PushReasonClassPolicy    PushReasonClass = "policy"
	PushReasonClassSource    PushReasonClass = "source"
	PushReasonClassOperator  PushReasonClass = "operator"
)

// PushEvent is one of what Events returns.
// One step in the life of a push, as server-sent events and web hooks report it. It has no secrets in it.
type PushEvent struct {
	// Changes each time the server starts.
	Run string `json:"run"`
	// Counts the events of all pushes of this run of the server, without gaps.
	Number int64 `json:"number"`
	// Counts the events of this push, without gaps.
	Sequence int64 `json:"sequence"`
	// The mediaSessionId of the push.
	ID string `json:"id"`
	// RFC 3339, in UTC, with milliseconds.
	At time.Time `json:"at"`
	// As published on this server.
	SourceStreamName string `json:"sourceStreamName"`
	// The stream that is sent, if it is one of options.backupStreams.
	ActiveStreamName string `json:"activeStreamName,omitzero"`
	// Where the push goes, without keys and passwords.
	Target string `json:"target"`
	// The name of the destination, if the push goes to one.
	Destination string `json:"destination,omitzero"`
	// Only if the push has several addresses: the number of that in target. 1 is rtmpUrl, 2 the first of options.backupUrls.
	Address int `json:"address,omitzero"`
	// The first event of a push goes from STARTING to STARTING. Later, from and to are equal if only the reason has changed, or the stream that is sent.
	From   PushStatus      `json:"from"`
	To     PushStatus      `json:"to"`
	Reason PushReason      `json:"reason"`
	Class  PushReasonClass `json:"class"`
	// The reason in words.
	Info string `json:"info"`
	// Connections tried so far.
	Attempt int `json:"attempt"`
	// Only while the push waits to reconnect.
	NextRetryAt time.Time `json:"nextRetryAt,omitzero"`
	// Bytes that the destination said it has received, as far as that can be understood. Never more than was sent.
	BytesAcked int64 `json:"bytesAcked"`
}

// MissedEvents is one of what Events returns.
type MissedEvents struct {
	// How many events are gone. 0 if that is not known, because the event to begin after is of an earlier run.
	Missed int64 `json:"missed"`
}

// StreamFilter is what FindStreams sends.
type StreamFilter struct {
	MediaSessionID string `json:"mediaSessionId,omitzero"`
	// A stream with any of these ids matches.
	MediaSessionIDs []string `json:"mediaSessionIds,omitzero"`
	Name            string   `json:"name,omitzero"`
	// False finds players, true publishers.
	Published *bool `json:"published,omitzero"`
	// PENDING, PUBLISHING or PLAYING.
	Status string `json:"status,omitzero"`
	// Accepted and ignored.
	Display []string `json:"display,omitzero"`
}

// Stream is what FindStreams returns.
type Stream struct {
	NodeID string `json:"nodeId,omitzero"`
	AppKey string `json:"appKey"`
	// Of the connection that publishes or plays.
	SessionID      string `json:"sessionId"`
	MediaSessionID string `json:"mediaSessionId"`
	Name           string `json:"name"`
	// False for a player.
	Published bool `json:"published"`
	// True for a spare publisher (`publish_standby`), whose media nobody plays before it gets the name. Absent for all others.
	Standby bool `json:"standby,omitzero"`
	// The publisher said that it would send video.
	HasVideo bool `json:"hasVideo"`
	HasAudio bool `json:"hasAudio"`
	// One of PENDING, PUBLISHING, PLAYING.
	Status string `json:"status"`
	// RTP encoding name, empty before the first packet.
	AudioCodec string `json:"audioCodec"`
	VideoCodec string `json:"videoCodec"`
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	// Of the video, in kbit/s.
	Bitrate int64 `json:"bitrate"`
	// In kbit/s. For a player it is 0, and so are fps and gop.
	AudioBitrate int64   `json:"audioBitrate"`
	FPS          float64 `json:"fps"`
	// Frames from one key frame to the next, 0 while it is not known.
	GOP int `json:"gop"`
	// UDP or TCP.
	Transport string `json:"transport"`
	// In ms since 1970.
	CreateDate Moment `json:"createDate"`
	// One of publish, play.
	MediaType string `json:"mediaType"`
	// What the page of the publisher says about the track.
	AudioState MediaState `json:"audioState"`
	VideoState MediaState `json:"videoState"`
	// WebRTC, WHIP, RTMP or SIP.
	MediaProvider string `json:"mediaProvider"`
	// How the packets of a publisher over WebRTC arrive. Only in answers of find that name the stream, by name or by id.
	Reception *StreamReception `json:"reception,omitzero"`
}

// StreamReception is a part of Stream.
// How the packets of a publisher over WebRTC arrive. Only in answers of find that name the stream, by name or by id.
type StreamReception struct {
	// Received since the publisher began, as all numbers here.
	Packets int64 `json:"packets"`
	// Given up.
	Lost int64 `json:"lost"`
	// Received after they were given up.
	Late int64 `json:"late"`
	// Asked for again.
	Nacks int64 `json:"nacks"`
	// Pictures that did not arrive whole.
	BrokenFrames int64 `json:"brokenFrames"`
	// Variation of the time that packets take; absent while it is not known.
	JitterMs float64 `json:"jitterMs,omitzero"`
	// Between the publisher and the server; absent while it is not known.
	RoundTripMs float64 `json:"roundTripMs,omitzero"`
}

// ConnectionFilter is what FindConnections sends.
type ConnectionFilter struct {
	SessionID     string `json:"sessionId,omitzero"`
	AppKey        string `json:"appKey,omitzero"`
	ClientVersion string `json:"clientVersion,omitzero"`
}

// Connection is what FindConnections returns.
type Connection struct {
	NodeID               string   `json:"nodeId,omitzero"`
	AppKey               string   `json:"appKey"`
	SessionID            string   `json:"sessionId"`
	MediaProviders       []string `json:"mediaProviders"`
	ClientVersion        string   `json:"clientVersion"`
	ClientOSVersion      string   `json:"clientOSVersion"`
	ClientBrowserVersion string   `json:"clientBrowserVersion"`
	// The connection survives the loss of its socket for a while.
	KeepAlive bool `json:"keepAlive"`
	// Origin of the page, as the browser says.
	Origin string `json:"origin"`
	// The value that the page gave as custom; absent without one.
	Custom json.RawMessage `json:"custom,omitzero"`
	// The login of the page's SIP account; absent without one.
	SIPLogin string `json:"sipLogin,omitzero"`
	// One of ESTABLISHED, DISCONNECTED.
	// DISCONNECTED: it waits for the browser to return.
	Status string `json:"status"`
	// In ms since 1970.
	CreateDate Moment `json:"createDate"`
	// Of the browser, or of a proxy before this server; empty for all but administrators.
	ClientAddress string `json:"clientAddress"`
	// Number of streams that it publishes.
	Publishers int `json:"publishers"`
	// Number of streams that it plays.
	Players int `json:"players"`
	// Number of its calls, those that ring included.
	Calls int `json:"calls"`
}

// MediaState is a part of Stream.
type MediaState struct {
	Muted bool `json:"muted"`
}

// StartCall is what StartCall sends.
type StartCall struct {
	// An id that the client chooses, and that no other call has. It is also the Call-ID of the SIP messages, if it can be one.
	CallID string `json:"callId"`
	// A user of sipDomain, user@host, or a sip: or sips: URI.
	Callee string `json:"callee"`
	// The user of the address that calls.
	SIPLogin string `json:"sipLogin,omitzero"`
	// The user name of the login. If absent, it is sipLogin.
	SIPAuthenticationName string `json:"sipAuthenticationName,omitzero"`
	// The password of the login. No answer and no log shows it.
	SIPPassword string `json:"sipPassword,omitzero"`
	// The host of both addresses. It may be absent if callee has a host.
	SIPDomain string `json:"sipDomain,omitzero"`
	// Where the messages go, as host or host:port, with ;transport=tcp or ;transport=tls if wanted. If absent, they go to the proxy of the settings, or else to the host of the callee.
	SIPOutboundProxy string `json:"sipOutboundProxy,omitzero"`
	// Another name of sipOutboundProxy.
	SIPProxy string `json:"sipProxy,omitzero"`
	// The port of the proxy or the domain. 0 or absent means the usual port.
	SIPPort int64 `json:"sipPort,omitzero"`
	// One of udp, tcp, tls.
	// If absent, the proxy's, else udp.
	SIPTransport string `json:"sipTransport,omitzero"`
	// Register before the call. If that fails, the call fails. Absent means false.
	SIPRegisterRequired bool `json:"sipRegisterRequired,omitzero"`
	// The name that the phone shows.
	VisibleName string `json:"visibleName,omitzero"`
	// Ask the phone for sound. Absent means true.
	HasAudio *bool `json:"hasAudio,omitzero"`
	// Ask the phone for pictures. Absent means false.
	HasVideo bool `json:"hasVideo,omitzero"`
	// The name of the stream that the phone publishes. If absent, it is callId with sip- before it.
	ToStream string `json:"toStream,omitzero"`
	// Push the stream to this RTMP address at once. The push ends with the call.
	RTMPURL string `json:"rtmpUrl,omitzero"`
	// The name to publish under at rtmpUrl; it gets the prefix of the settings. If absent, toStream, or else the callee. 400 without rtmpUrl.
	RTMPStream string `json:"rtmpStream,omitzero"`
	// What the push of rtmpUrl shows if the phone sends no picture. "card" shows a card with the name of the callee. Otherwise it is
	// the name of a PNG or JPEG file in media_dir. If absent, the push has no picture then. It may also be a member of options. 400 without rtmpUrl.
	Picture string            `json:"picture,omitzero"`
	Options *StartCallOptions `json:"options,omitzero"`
	// Shown again by find.
	AppKey string `json:"appKey,omitzero"`
	// A value of at most 8192 bytes that find shows again.
	Custom json.RawMessage `json:"custom,omitzero"`
}

// StartCallOptions is a part of StartCall.
type StartCallOptions struct {
	Picture string `json:"picture,omitzero"`
}

// CallFilter is what FindCalls sends.
type CallFilter struct {
	CallID string `json:"callId,omitzero"`
	Callee string `json:"callee,omitzero"`
	Caller string `json:"caller,omitzero"`
	// As it was given to startup.
	RTMPURL string `json:"rtmpUrl,omitzero"`
	// The name of the stream on this server.
	ToStream string `json:"toStream,omitzero"`
	Status   string `json:"status,omitzero"`
}

// SendDigits is what SendDigits sends.
type SendDigits struct {
	CallID string `json:"callId"`
	// Up to 64 of 0 to 9, *,
	Dtmf string `json:"dtmf"`
	// One of RFC2833, INFO, INFO_RELAY.
	// RFC2833 sends events in the sound (RFC 4733), INFO and INFO_RELAY send SIP messages. If absent, the settings decide.
	Type string `json:"type,omitzero"`
}

// InjectSound is what InjectSound sends.
type InjectSound struct {
	CallID string `json:"callId"`
	// Name of a file in media_dir.
	FileName string `json:"fileName"`
}

// InjectStream is what InjectStream sends.
type InjectStream struct {
	CallID     string `json:"callId"`
	StreamName string `json:"streamName"`
}

// Call is what FindCalls returns.
type Call struct {
	NodeID string `json:"nodeId,omitzero"`
	AppKey string `json:"appKey"`
	// Of the connection whose page makes or takes the call; empty without one.
	SessionID string `json:"sessionId"`
	CallID    string `json:"callId"`
	// Always null.
	ParentCallID *string `json:"parentCallId"`
	// The phone has called this server.
	Incoming bool       `json:"incoming"`
	Status   CallStatus `json:"status"`
	// Code of the last SIP response to the INVITE, or to a REGISTER that failed before it; 0 before the first response.
	SIPStatus int    `json:"sipStatus"`
	Caller    string `json:"caller"`
	Callee    string `json:"callee"`
	// The name that the caller shows.
	VisibleName string `json:"visibleName"`
	// As it was asked for; after the answer, as it was agreed on.
	HasAudio bool `json:"hasAudio"`
	HasVideo bool `json:"hasVideo"`
	// The last SDP of the phone, without keys. Null before the first, and for clients on other machines if the server asks for no
	// password.
	SDP *string `json:"sdp"`
	// Always null.
	InviteParameters *string `json:"inviteParameters"`
	// Always null.
	SIPMessageRaw *string `json:"sipMessageRaw"`
	// One of SIP, WebRTC.
	// WebRTC if one end is a page of the Web SDK.
	MediaProvider string `json:"mediaProvider"`
	// Always false.
	IsMsrp bool `json:"isMsrp"`
	// Where a page has transferred the call to.
	Target          *string `json:"target"`
	HoldForTransfer bool    `json:"holdForTransfer"`
	// Name of the stream on this server; null if it is not public.
	StreamName *string `json:"streamName"`
	// As it was given to startup, stream keys included.
	RTMPURL    *string `json:"rtmpUrl"`
	RTMPStream *string `json:"rtmpStream"`
	// One of PENDING, PUBLISHING, FAILED, STOPPED.
	// State of the push to rtmpUrl; null without one. `/push/find` says more.
	RTMPStreamStatus *string `json:"rtmpStreamStatus"`
	// As it was given to startup.
	Custom json.RawMessage `json:"custom"`
	Reason CallReason      `json:"reason"`
	// The reason in words.
	Info string `json:"info"`
	// Name of the injected stream or sound file that the phone hears; absent without one.
	Injected string `json:"injected,omitzero"`
	// Digits that the phone sent, the last 64; absent without any.
	Digits string `json:"digits,omitzero"`
	// In ms since 1970.
	StartedAt Moment `json:"startedAt"`
	// In ms since 1970; absent before the answer.
	AnsweredAt Moment `json:"answeredAt,omitzero"`
	// In ms since 1970; absent while the call is not over.
	EndedAt Moment `json:"endedAt,omitzero"`
	// RTP encoding name of the sound that was agreed on; empty before.
	AudioCodec string `json:"audioCodec"`
	VideoCodec string `json:"videoCodec"`
	// RTP packets of the phone.
	PacketsReceived int64 `json:"packetsReceived"`
	PacketsLost     int64 `json:"packetsLost"`
	// Packets that came from strangers or were no media of the call.
	PacketsRefused int64 `json:"packetsRefused"`
	// Requests for a key frame that were sent to the phone.
	KeyFrameRequests int64 `json:"keyFrameRequests"`
}

// CallStatus is one of the values below.
// PENDING: nothing was sent yet. TRYING: the call is sent. RING, RING_MEDIA, SESSION_PROGRESS: the phone rings, or there is media
// before the answer. ESTABLISHED: answered. HOLD: one side has put the other on hold. BUSY, FINISH and FAILED are final.
type CallStatus string

// The values of CallStatus.
const (
	CallStatusPending         CallStatus = "PENDING"
	CallStatusTrying          CallStatus = "TRYING"
	CallStatusRing            CallStatus = "RING"
	CallStatusRingMedia       CallStatus = "RING_MEDIA"
	CallStatusSessionProgress CallStatus = "SESSION_PROGRESS"
	CallStatusEstablished     CallStatus = "ESTABLISHED"
	CallStatusHold            CallStatus = "HOLD"
	CallStatusBusy            CallStatus = "BUSY"
	CallStatusFinish          CallStatus = "FINISH"
	CallStatusFailed          CallStatus = "FAILED"
)

// CallReason is one of the values below.
// Why the call has ended; empty before.
type CallReason string

// The values of CallReason.
const (
	CallReasonBusy           CallReason = "busy"
	CallReasonNoAnswer       CallReason = "no_answer"
	CallReasonRejected       CallReason = "rejected"
	CallReasonNotFound       CallReason = "not_found"
	CallReasonAuthFailed     CallReason = "auth_failed"
	CallReasonNoCodec        CallReason = "no_codec"
	CallReasonMediaTimeout   CallReason = "media_timeout"
	CallReasonTransport      CallReason = "transport"
	CallReasonCancelled      CallReason = "cancelled"
	CallReasonHungUp         CallReason = "hung_up"
	CallReasonPolicy         CallReason = "policy"
	CallReasonSessionExpired CallReason = "session_expired"
)

// StartSound is what StartSound sends.
type StartSound struct {
	MediaSessionID string `json:"mediaSessionId"`
	// Name of a file in media_dir.
	SoundFile string `json:"soundFile"`
	Loop      bool   `json:"loop,omitzero"`
}

// UsePushSource is what UsePushSource sends.
type UsePushSource struct {
	MediaSessionID string `json:"mediaSessionId"`
	// The push's stream, or one of its options.backupStreams.
	StreamName string `json:"streamName,omitzero"`
}

// TerminateStreams is what TerminateStreams sends.
type TerminateStreams struct {
	MediaSessionID string `json:"mediaSessionId,omitzero"`
	// A stream with any of these ids matches.
	MediaSessionIDs []string `json:"mediaSessionIds,omitzero"`
	Name            string   `json:"name,omitzero"`
	// False finds players, true publishers.
	Published *bool `json:"published,omitzero"`
	// PENDING, PUBLISHING or PLAYING.
	Status string `json:"status,omitzero"`
	// Accepted and ignored.
	Display []string `json:"display,omitzero"`
	All     bool     `json:"all,omitzero"`
}

// SetConnectionLogLevel is what SetConnectionLogLevel sends.
type SetConnectionLogLevel struct {
	SessionID string `json:"sessionId"`
	// DEBUG, INFO, WARN or ERROR, in upper or lower case. ALL and TRACE mean DEBUG, FATAL and OFF mean ERROR.
	LogLevel string `json:"logLevel"`
}

// ChangePassword is what ChangePassword sends.
type ChangePassword struct {
	// The present password.
	Password string `json:"password"`
	// In bytes.
	NewPassword string `json:"newPassword"`
}

// CreateUser is what CreateUser sends.
type CreateUser struct {
	Name     string   `json:"name"`
	Password string   `json:"password,omitzero"`
	Role     string   `json:"role"`
	Streams  []string `json:"streams,omitzero"`
}

// UpdateUser is what UpdateUser sends.
type UpdateUser struct {
	Name     string   `json:"name"`
	Password string   `json:"password,omitzero"`
	Role     string   `json:"role,omitzero"`
	Streams  []string `json:"streams,omitzero"`
}

// DrainNode is what DrainNode sends.
type DrainNode struct {
	// How long streams may go on, in milliseconds, at most 86400000. Without it the setting drain_ms decides. 0 ends them at once.
	FinishMs *int64 `json:"finishMs,omitzero"`
}
