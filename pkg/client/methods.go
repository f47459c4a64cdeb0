// Code generated from api/openapi.yaml; DO NOT EDIT. Run: go generate ./pkg/client

package client

import (
	"context"
	"net/http"
	"net/url"
)

// ListApps calls GET /app/find_all: list the applications.
func (c *Client) ListApps(ctx context.Context) (answer []App, err error) {
	err = c.Do(ctx, http.MethodGet, "/app/find_all", nil, nil, &answer)
	return answer, err
}

// FindApps calls POST /app/find: find an application by its name or its key.
func (c *Client) FindApps(ctx context.Context, request AppFilter) (answer []App, err error) {
	err = c.Do(ctx, http.MethodPost, "/app/find", nil, request, &answer)
	return answer, err
}

// CreateApp calls POST /app/create: make an application.
// 409 if there is one with this name or this key.
func (c *Client) CreateApp(ctx context.Context, request NewApp) (answer App, err error) {
	err = c.Do(ctx, http.MethodPost, "/app/create", nil, request, &answer)
	return answer, err
}

// UpdateApp calls POST /app/update: change an application.
// Absent members stay as they are. An empty string removes what was set. 409 if the key belongs to another application, or if the application is set in apps_file.
func (c *Client) UpdateApp(ctx context.Context, request NewApp) (answer App, err error) {
	err = c.Do(ctx, http.MethodPost, "/app/update", nil, request, &answer)
	return answer, err
}

// RemoveApp calls POST /app/remove: remove an application.
// One that is built in becomes what it was.
func (c *Client) RemoveApp(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodPost, "/app/remove", nil, map[string]string{"name": name}, nil)
}

// ListAppMethods calls GET /app/methods: list the hooks.
func (c *Client) ListAppMethods(ctx context.Context) (answer AppMethods, err error) {
	err = c.Do(ctx, http.MethodGet, "/app/methods", nil, nil, &answer)
	return answer, err
}

// ListNodes calls GET /node/find_all: list the servers.
// The servers of the cluster that live, by name. A server alone lists itself. It needs the action read.
func (c *Client) ListNodes(ctx context.Context) (answer []Node, err error) {
	err = c.Do(ctx, http.MethodGet, "/node/find_all", url.Values{"empty": {"true"}}, nil, &answer)
	return answer, err
}

// StartPush calls POST /push/startup: publish a stream to an RTMP address.
// Answers as soon as the push exists. The server connects afterwards, and `/push/find` says how it goes. 400 if a member
// cannot be used or the host of the address does not resolve, 404 if nobody publishes the stream, 409 if the stream is
// already pushed to that address.
func (c *Client) StartPush(ctx context.Context, request StartPush) (answer Push, err error) {
	err = c.Do(ctx, http.MethodPost, "/push/startup", nil, request, &answer)
	return answer, err
}

// CheckPush calls POST /push/check: check a destination.
// Goes to the destination step by step as a push would, and says of each step how it went. Then it compares the stream, if somebody
// publishes it, with the rules of the platform. It does the same for each of options.backupUrls, at the same time. The answer takes up to
// 25 seconds. With `Accept: application/x-ndjson` each step is a line of JSON that comes when the step is over. The server publishes nothing
// unless `publish` asks for it. 429 if the caller checks too often, 503 if too many checks are running.
func (c *Client) CheckPush(ctx context.Context, request CheckPush) (answer Checked, err error) {
	err = c.Do(ctx, http.MethodPost, "/push/check", nil, request, &answer)
	return answer, err
}

// FindPushes calls POST /push/find: find pushes.
// All given members must match. A push that failed can still be found for a short while, so that its reason can be read.
func (c *Client) FindPushes(ctx context.Context, request PushFilter, page Page) (answer []Push, err error) {
	err = c.Do(ctx, http.MethodPost, "/push/find", page.query(url.Values{"empty": {"true"}}), request, &answer)
	return answer, err
}

// FindAllPushes calls GET /push/find_all: list all pushes.
func (c *Client) FindAllPushes(ctx context.Context, page Page) (answer []Push, err error) {
	err = c.Do(ctx, http.MethodGet, "/push/find_all", page.query(url.Values{"empty": {"true"}}), nil, &answer)
	return answer, err
}

// TerminatePush calls POST /push/terminate: end a push.
// Answers when the push is gone. The push has up to a second to send its queued frames.
func (c *Client) TerminatePush(ctx context.Context, mediaSessionID string) error {
	return c.Do(ctx, http.MethodPost, "/push/terminate", nil, map[string]string{"mediaSessionId": mediaSessionID}, nil)
}

// RetryPush calls POST /push/retry: start a push again.
// Starts a push that is over once more, with the same stream, addresses and options, so that nobody has to enter a stream key again. The answer is the new push.
// The caller needs the right to end such a push, and the right to start one to the address. If an address is not the name of a destination, only who has
// started the push, or an administrator, may start it again: the address may hold a stream key.
// 404 if the history has no such push, or if nobody publishes the stream. 409 if the push is not over, if the stream is already pushed to the address, or if
// the push was started by an older version of this server, which did not keep the request.
func (c *Client) RetryPush(ctx context.Context, mediaSessionID string) (answer Push, err error) {
	err = c.Do(ctx, http.MethodPost, "/push/retry", nil, map[string]string{"mediaSessionId": mediaSessionID}, &answer)
	return answer, err
}

// PushHistoryQuery are the parameters of PushHistory. A zero value is absent.
type PushHistoryQuery struct {
	// How many at most. An answer never has more than 1000.
	Limit int
	// Begin after the push with this mediaSessionId, which was the last one of the answer before. If that is no longer kept, the list is empty, unless afterEnded is given.
	After string
	// The endedAt of the push that after names.
	AfterEnded Moment
	// Only pushes of the stream with this name on this server.
	StreamName string
	// Only pushes that have ended so.
	Status string
	// Only pushes with this reason.
	Reason PushReason
	// Only pushes whose target, or the name of whose destination, contains this text, in upper or lower case.
	Target string
	// Only pushes that have each word of this text in the name of the stream, the target, the name of the destination, the reason, the info or the name of who has started them, in upper or lower case.
	Text string
	// Only pushes that ended then or later.
	From Moment
	// Only pushes that ended then or earlier.
	To Moment
}

// PushHistory calls GET /push/history: list pushes that are over.
// The last pushes that are over, the newest first, each with its reason. If there are none, the list is empty. Parameters pick some of them; a push must match
// all that are given.
func (c *Client) PushHistory(ctx context.Context, query PushHistoryQuery) (answer []Push, err error) {
	err = c.Do(ctx, http.MethodGet, "/push/history", url.Values{"limit": {number(query.Limit)}, "after": {query.After}, "afterEnded": {number(int(query.AfterEnded))}, "streamName": {query.StreamName}, "status": {query.Status}, "reason": {string(query.Reason)}, "target": {query.Target}, "text": {query.Text}, "from": {number(int(query.From))}, "to": {number(int(query.To))}}, nil, &answer)
	return answer, err
}

// MutePush calls POST /push/mute: turn a push's sound off.
// The push goes on with silence. The sound track and its clock stay. It is no error to mute a muted push.
func (c *Client) MutePush(ctx context.Context, mediaSessionID string) error {
	return c.Do(ctx, http.MethodPost, "/push/mute", nil, map[string]string{"mediaSessionId": mediaSessionID}, nil)
}

// UnmutePush calls POST /push/unmute: turn a push's sound on again.
func (c *Client) UnmutePush(ctx context.Context, mediaSessionID string) error {
	return c.Do(ctx, http.MethodPost, "/push/unmute", nil, map[string]string{"mediaSessionId": mediaSessionID}, nil)
}

// StartSound calls POST /push/sound_on: play a WAV file into a push.
// The file replaces the live sound, from the beginning of the file to its end, or in a loop. After the end the live sound is back. Another
// file replaces one that plays. In a muted push the file plays unheard.
func (c *Client) StartSound(ctx context.Context, request StartSound) error {
	return c.Do(ctx, http.MethodPost, "/push/sound_on", nil, request, nil)
}

// StopSound calls POST /push/sound_off: stop the WAV file.
func (c *Client) StopSound(ctx context.Context, mediaSessionID string) error {
	return c.Do(ctx, http.MethodPost, "/push/sound_off", nil, map[string]string{"mediaSessionId": mediaSessionID}, nil)
}

// UsePushSource calls POST /push/source: choose the stream that a push sends.
// The push changes at the next key frame of the chosen stream, over the same connection, and stays with that stream until it fails or
// until the next call. Without streamName the push goes back to the stream that its options prefer.
func (c *Client) UsePushSource(ctx context.Context, request UsePushSource) error {
	return c.Do(ctx, http.MethodPost, "/push/source", nil, request, nil)
}

// FindStreams calls POST /stream/find: find streams.
// All given members must match.
func (c *Client) FindStreams(ctx context.Context, request StreamFilter, page Page) (answer []Stream, err error) {
	err = c.Do(ctx, http.MethodPost, "/stream/find", page.query(url.Values{"empty": {"true"}}), request, &answer)
	return answer, err
}

// FindAllStreams calls GET /stream/find_all: list all streams.
func (c *Client) FindAllStreams(ctx context.Context, page Page) (answer []Stream, err error) {
	err = c.Do(ctx, http.MethodGet, "/stream/find_all", page.query(url.Values{"empty": {"true"}}), nil, &answer)
	return answer, err
}

// TerminateStreams calls POST /stream/terminate: end streams.
// Ends every stream that matches all given members. Without any member, `all` must be true: unlike in the published contract,
// an empty filter is refused.
func (c *Client) TerminateStreams(ctx context.Context, request TerminateStreams) error {
	return c.Do(ctx, http.MethodPost, "/stream/terminate", nil, request, nil)
}

// FindConnections calls POST /connection/find: find connections.
// All given members must match.
func (c *Client) FindConnections(ctx context.Context, request ConnectionFilter, page Page) (answer []Connection, err error) {
	err = c.Do(ctx, http.MethodPost, "/connection/find", page.query(url.Values{"empty": {"true"}}), request, &answer)
	return answer, err
}

// FindAllConnections calls GET /connection/find_all: list all connections.
func (c *Client) FindAllConnections(ctx context.Context, page Page) (answer []Connection, err error) {
	err = c.Do(ctx, http.MethodGet, "/connection/find_all", page.query(url.Values{"empty": {"true"}}), nil, &answer)
	return answer, err
}

// TerminateConnection calls POST /connection/terminate: end a connection.
// The socket of the connection is closed. The streams that it publishes and plays end, also if it asked for keepAlive.
func (c *Client) TerminateConnection(ctx context.Context, sessionID string) error {
	return c.Do(ctx, http.MethodPost, "/connection/terminate", nil, map[string]string{"sessionId": sessionID}, nil)
}

// SetConnectionLogLevel calls POST /connection/set_log_level: set how much the server's log tells about a connection.
func (c *Client) SetConnectionLogLevel(ctx context.Context, request SetConnectionLogLevel) error {
	return c.Do(ctx, http.MethodPost, "/connection/set_log_level", nil, request, nil)
}

// CreateDestination calls POST /destination/create: give an address a name.
// Needs an administrator. Pushes go there with `"rtmpUrl": "destination://NAME"`. The address is stored sealed, and no answer has it again.
// The address is `rtmpUrl`, or `server` and `key`, or `key` and a `preset` with a common server. 409 if there is a destination with that
// name.
func (c *Client) CreateDestination(ctx context.Context, request NewDestination) (answer Destination, err error) {
	err = c.Do(ctx, http.MethodPost, "/destination/create", nil, request, &answer)
	return answer, err
}

// UpdateDestination calls POST /destination/update: change a destination.
// Needs an administrator. Members that are absent stay as they are, the address too. Pushes that go there now go on as they began.
func (c *Client) UpdateDestination(ctx context.Context, request NewDestination) (answer Destination, err error) {
	err = c.Do(ctx, http.MethodPost, "/destination/update", nil, request, &answer)
	return answer, err
}

// RemoveDestination calls POST /destination/remove: forget a destination.
// Needs an administrator. Pushes that go there now go on.
func (c *Client) RemoveDestination(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodPost, "/destination/remove", nil, map[string]string{"name": name}, nil)
}

// FindDestination calls POST /destination/find: find a destination.
// For administrators, and for those who may push there: they see the name, the label, the preset and the streams.
func (c *Client) FindDestination(ctx context.Context, name string) (answer []Destination, err error) {
	err = c.Do(ctx, http.MethodPost, "/destination/find", url.Values{"empty": {"true"}}, map[string]string{"name": name}, &answer)
	return answer, err
}

// FindAllDestinations calls GET /destination/find_all: list all destinations.
// As find. 404 if there are none for the caller.
func (c *Client) FindAllDestinations(ctx context.Context) (answer []Destination, err error) {
	err = c.Do(ctx, http.MethodGet, "/destination/find_all", url.Values{"empty": {"true"}}, nil, &answer)
	return answer, err
}

// FindAllMedia calls GET /media/find_all: list the sounds and pictures.
// The first thousand files of `media_dir` and its folders whose names end in .wav, .png, .jpg or .jpeg, sorted by name. It needs the action
// push.
func (c *Client) FindAllMedia(ctx context.Context) (answer MediaList, err error) {
	err = c.Do(ctx, http.MethodGet, "/media/find_all", nil, nil, &answer)
	return answer, err
}

// RemoveMedia calls POST /media/remove: remove a sound or a picture.
// A push that plays the file plays it to its end. It needs the action control for all streams.
func (c *Client) RemoveMedia(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodPost, "/media/remove", nil, map[string]string{"name": name}, nil)
}

// ListPresets calls GET /destination/presets: list what is known of the usual platforms.
func (c *Client) ListPresets(ctx context.Context) (answer []Preset, err error) {
	err = c.Do(ctx, http.MethodGet, "/destination/presets", nil, nil, &answer)
	return answer, err
}

// StartCall calls POST /call/startup: call a phone.
// Answers as soon as the call is accepted, before anything is sent to the phone. `/call/find` says how it goes. What the phone sends
// is a stream of this server. The name of the stream is reserved at once, so a push of it can be started before the phone answers.
// 400 if a member cannot be used. 403 if the settings do not allow the callee. 409 if another call has the id, if another stream has
// the name, or if another call is published to this address under this name. 501 if SIP is switched off. 503 if there are too many
// calls, or too many were made lately.
func (c *Client) StartCall(ctx context.Context, request StartCall) error {
	return c.Do(ctx, http.MethodPost, "/call/startup", nil, request, nil)
}

// FindCalls calls POST /call/find: find calls.
// All given members must match. A call that has ended is found for 10 s more, with its reason.
func (c *Client) FindCalls(ctx context.Context, request CallFilter, page Page) (answer []Call, err error) {
	err = c.Do(ctx, http.MethodPost, "/call/find", page.query(url.Values{"empty": {"true"}}), request, &answer)
	return answer, err
}

// FindAllCalls calls GET /call/find_all: list all calls.
func (c *Client) FindAllCalls(ctx context.Context, page Page) (answer []Call, err error) {
	err = c.Do(ctx, http.MethodGet, "/call/find_all", page.query(url.Values{"empty": {"true"}}), nil, &answer)
	return answer, err
}

// TerminateCall calls POST /call/terminate: end a call.
// A call that rings is cancelled. A call that was answered is hung up. The stream of the call ends with it.
func (c *Client) TerminateCall(ctx context.Context, callID string) error {
	return c.Do(ctx, http.MethodPost, "/call/terminate", nil, map[string]string{"callId": callID}, nil)
}

// SendDigits calls POST /call/send_dtmf: send digits to the phone.
// Answers before the digits are sent. 409 if the callee has not answered yet, if too many digits wait, or if the phone does not take them.
func (c *Client) SendDigits(ctx context.Context, request SendDigits) error {
	return c.Do(ctx, http.MethodPost, "/call/send_dtmf", nil, request, nil)
}

// InjectSound calls POST /call/inject_sound: play a WAV file to the phone.
// The phone hears the file in place of what it heard before. At the end of the file the phone hears that again. 409 if the callee has not answered yet.
func (c *Client) InjectSound(ctx context.Context, request InjectSound) error {
	return c.Do(ctx, http.MethodPost, "/call/inject_sound", nil, request, nil)
}

// InjectStream calls POST /call/inject_stream/startup: play a stream to the phone.
// The phone hears the sound of the stream. It also gets the pictures, if the settings and the phone agree to send video both ways. 409 if the callee has not answered yet, or if a stream is played already. 400 for the stream of the call itself.
func (c *Client) InjectStream(ctx context.Context, request InjectStream) error {
	return c.Do(ctx, http.MethodPost, "/call/inject_stream/startup", nil, request, nil)
}

// EjectStream calls POST /call/inject_stream/terminate: stop the stream or the file.
// The phone hears silence, or the page that it talks with. It is no error if nothing was played.
func (c *Client) EjectStream(ctx context.Context, callID string) error {
	return c.Do(ctx, http.MethodPost, "/call/inject_stream/terminate", nil, map[string]string{"callId": callID}, nil)
}

// CreateToken calls POST /token/create: make a token.
// The caller must be an administrator, or have control of some streams. Nobody gives more than he has. The token is a JWT, signed with
// a key of this server. Absent members mean: the subject of the caller, an hour, and no limits.
func (c *Client) CreateToken(ctx context.Context, request NewToken) (answer Token, err error) {
	err = c.Do(ctx, http.MethodPost, "/token/create", nil, request, &answer)
	return answer, err
}

// RevokeTokens calls POST /token/revoke: make tokens invalid, and end their sessions.
// One of `jti`, `sub` and `kid` is needed. 507 if the revocation is in force, but could not be stored.
func (c *Client) RevokeTokens(ctx context.Context, request NewRevocation) error {
	return c.Do(ctx, http.MethodPost, "/token/revoke", nil, request, nil)
}

// ListRevocations calls GET /token/revocations: list the revocations that are in force.
func (c *Client) ListRevocations(ctx context.Context) (answer []Revocation, err error) {
	err = c.Do(ctx, http.MethodGet, "/token/revocations", nil, nil, &answer)
	return answer, err
}

// ListKeys calls GET /key/find_all: list the stored keys.
// Administrators see all keys, others those that they have made.
func (c *Client) ListKeys(ctx context.Context) (answer []Key, err error) {
	err = c.Do(ctx, http.MethodGet, "/key/find_all", nil, nil, &answer)
	return answer, err
}

// CreateKey calls POST /key/create: make a stored key.
// A stored key is short enough for the field of an encoder. Rules as for tokens. What is made with a token or a key ends with it and shares its limits. 409 if
// somebody who is no administrator has 1000 keys, with those that were made with them.
func (c *Client) CreateKey(ctx context.Context, request NewKey) (answer Key, err error) {
	err = c.Do(ctx, http.MethodPost, "/key/create", nil, request, &answer)
	return answer, err
}

// RemoveKey calls POST /key/remove: remove a stored key, and end its sessions.
func (c *Client) RemoveKey(ctx context.Context, iD string) error {
	return c.Do(ctx, http.MethodPost, "/key/remove", nil, map[string]string{"id": iD}, nil)
}

// WhoAmI calls GET /session: tell who the caller is.
// 401 if the caller has shown nothing and may do nothing.
func (c *Client) WhoAmI(ctx context.Context) (answer Session, err error) {
	err = c.Do(ctx, http.MethodGet, "/session", nil, nil, &answer)
	return answer, err
}

// ChangePassword calls POST /session/password: change one's own password.
// For users. All sessions of the user end, and the tokens that he has made are revoked. If the request has the cookie of a session, the answer sets a new one.
// A wrong present password counts as a try to log in.
func (c *Client) ChangePassword(ctx context.Context, request ChangePassword) error {
	return c.Do(ctx, http.MethodPost, "/session/password", nil, request, nil)
}

// FindAllSessions calls GET /session/find_all: list the sessions of all who have logged in.
func (c *Client) FindAllSessions(ctx context.Context) (answer []OpenSession, err error) {
	err = c.Do(ctx, http.MethodGet, "/session/find_all", url.Values{"empty": {"true"}}, nil, &answer)
	return answer, err
}

// TerminateSession calls POST /session/terminate: end somebody's session.
// What was begun with the session ends, too.
func (c *Client) TerminateSession(ctx context.Context, iD string) error {
	return c.Do(ctx, http.MethodPost, "/session/terminate", nil, map[string]string{"id": iD}, nil)
}

// FindAllUsers calls GET /user/find_all: list all users.
func (c *Client) FindAllUsers(ctx context.Context) (answer []User, err error) {
	err = c.Do(ctx, http.MethodGet, "/user/find_all", url.Values{"empty": {"true"}}, nil, &answer)
	return answer, err
}

// CreateUser calls POST /user/create: make a user.
// Without a password the server makes one, which only this answer has. 409 if there is a user with the name.
func (c *Client) CreateUser(ctx context.Context, request CreateUser) (answer User, err error) {
	err = c.Do(ctx, http.MethodPost, "/user/create", nil, request, &answer)
	return answer, err
}

// UpdateUser calls POST /user/update: change a user.
// Members that are absent stay as they are. If something changes, what the user has begun ends, but for his pushes: they end if he may not
// push their streams any more (`rtmp_push_outlives_user`). With another password, his sessions end, too. 409 for a user of
// `rest_users_file`, and for the last administrator.
func (c *Client) UpdateUser(ctx context.Context, request UpdateUser) (answer User, err error) {
	err = c.Do(ctx, http.MethodPost, "/user/update", nil, request, &answer)
	return answer, err
}

// RemoveUser calls POST /user/remove: remove a user.
// His sessions end, and what he has begun. 409 for a user of `rest_users_file`, and for the last administrator.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodPost, "/user/remove", nil, map[string]string{"name": name}, nil)
}

// AuditLog calls GET /audit: read the audit log.
// Who did what, and who was refused, the newest first. Refusals of one client for the same reason within ten seconds are one line with a `count`. While they are
// being counted, the line has no `id`.
// limit: How many lines at most.
// before: Only lines with a lower `id`.
// do: Only lines about this action, or about those below it. `user` is also `user/create`.
// who: Only lines with this kind or name of the principal, this user as the object, or this address of the client.
func (c *Client) AuditLog(ctx context.Context, limit int, before int, do string, who string) (answer []AuditLine, err error) {
	err = c.Do(ctx, http.MethodGet, "/audit", url.Values{"limit": {number(limit)}, "before": {number(before)}, "do": {do}, "who": {who}}, nil, &answer)
	return answer, err
}

// DrainNode calls POST /node/drain: stop the server when its streams have ended.
// From now on the server refuses new streams with 503, and `/health/ready` answers 503, so that a load balancer sends publishers elsewhere. Publishers whose
// connection breaks may return. The server stops when the last stream has ended, at the latest after `finishMs`: then publishers are disconnected, and pushes wait
// for the next start. Calling this again changes the limit. For administrators.
func (c *Client) DrainNode(ctx context.Context, request DrainNode) (answer NodeState, err error) {
	err = c.Do(ctx, http.MethodPost, "/node/drain", nil, request, &answer)
	return answer, err
}

// ResumeNode calls POST /node/resume: take back what /node/drain has begun.
// The server takes new streams again. If it is not draining, nothing happens. For administrators.
func (c *Client) ResumeNode(ctx context.Context) (answer NodeState, err error) {
	err = c.Do(ctx, http.MethodPost, "/node/resume", nil, struct{}{}, &answer)
	return answer, err
}

// ReloadNode calls POST /node/reload: read the settings and their files again.
// As SIGHUP does. Settings that can change while the server runs change. If a setting is wrong, nothing changes, and the message of the
// error 400 names all faults. It needs the action admin.
func (c *Client) ReloadNode(ctx context.Context) (answer Reloaded, err error) {
	err = c.Do(ctx, http.MethodPost, "/node/reload", nil, struct{}{}, &answer)
	return answer, err
}

// ListLogLevels calls GET /node/log: list the levels of the log.
// The first is the level of all packages that have none of their own. It needs the action admin.
func (c *Client) ListLogLevels(ctx context.Context) (answer []LogLevel, err error) {
	err = c.Do(ctx, http.MethodGet, "/node/log", nil, nil, &answer)
	return answer, err
}

// SetLogLevel calls POST /node/log/set: change how much the log tells.
// Until a time has passed, or until the server ends. A level for a connection alone is set by `/connection/set_log_level`. It needs the
// action admin.
func (c *Client) SetLogLevel(ctx context.Context, request NewLogLevel) (answer []LogLevel, err error) {
	err = c.Do(ctx, http.MethodPost, "/node/log/set", nil, request, &answer)
	return answer, err
}

// ReportAccess calls GET /access/report: who may do what.
// Says for clients without a credential and for each user which actions are allowed. For administrators.
func (c *Client) ReportAccess(ctx context.Context) (answer AccessReport, err error) {
	err = c.Do(ctx, http.MethodGet, "/access/report", nil, nil, &answer)
	return answer, err
}
