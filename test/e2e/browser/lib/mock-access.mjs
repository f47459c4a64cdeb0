// What the REST API says about users, keys, destinations, apps, logins and the audit log, for tests of the page for access.

const minute = 60_000;

/** Gives a mock server some of everything. Returns the lists, which the methods change as the server does. */
export function fill(mock) {
  const now = Date.now();
  const all = {
    users: [
      { name: "admin", role: "admin", streams: ["*"], source: "state", created: now - 9e9, lastLogin: now - minute },
      { name: "berta", role: "operator", streams: ["acme/*", "lobby-*"], source: "state", created: now - 8e8 },
      { name: "vera", role: "viewer", streams: ["acme/*"], source: "file" },
    ],
    keys: [
      { id: "k7f3", label: "OBS in the lobby", owner: "admin", stream: "lobby", grants: [{ actions: ["publish"], streams: ["lobby"] }], createdAt: now - 9e8, lastUsedAt: now - minute,
        lastUsedFrom: "192.0.2.7" },
      { id: "k911", label: "Recorder of the city council, second floor", owner: "berta", stream: "", expiresAt: now + 9e8, createdAt: now - 9e8,
        grants: [{ actions: ["play"], streams: ["acme/*"] }, { actions: ["push"], streams: ["acme/*"], destinations: ["youtube-main"], urls: ["rtmps://live.example.com:443/app/*"] }] },
    ],
    destinations: [
      { name: "facebook", target: "rtmps://live-api-s.facebook.com:443/rtmp/***", keySet: true, streams: ["*"], app: "", usedBy: 0 },
      { name: "youtube-main", target: "rtmps://a.rtmps.youtube.com/live2/***", keySet: true, streams: ["acme/*"], app: "acme", usedBy: 2 },
    ],
    apps: [
      { name: "Default", key: "defaultApp", url: "", methods: [], username: "", passwordSet: false, auth: "", source: "built in" },
      { name: "Studio of ACME", key: "acme", url: "https://backend.example.com/hooks", methods: ["connect", "publishStream"], username: "wcs", passwordSet: true, auth: "token+hook", source: "state",
        grants: [{ actions: ["publish"], streams: ["a-*"] }, { actions: ["play"], streams: ["b-*"] }], limits: { publishers: 2 } },
    ],
    revocations: [{ sub: "user:carl", before: now - 9e6, at: now - 9e6, by: "user::admin" }, { jti: "b1c2d3", before: now - 9e7, at: now - 9e7 }],
    logins: [
      { id: "s-1", name: "admin", role: "admin", address: "198.51.100.4", created: now - 9e6, lastSeen: now - minute,
        userAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36" },
      { id: "s-2", name: "berta", role: "operator", address: "2001:db8:0:1234:5678:9abc:def0:1234", created: now - 9e7, lastSeen: now - 9e6, userAgent: "curl/8.5.0" },
    ],
    audit: Array.from({ length: 250 }, (_, i) => ({
      id: 1000 - i, at: new Date(now - i * minute).toISOString(), who: i % 3 === 0 ? { kind: "anonymous" } : { kind: "user", sub: "admin" }, from: "198.51.100.4", via: i % 3 === 0 ? "whip" : "rest",
      do: ["login", "user/create", "publish"][i % 3], ok: i % 3 !== 0, ...(i % 3 === 0 && { why: "a valid token, key or password is needed", count: 12 }),
      ...(i % 3 === 1 && { object: `user-${i}` }), ...(i % 3 === 2 && { stream: `acme/cam-${i}` }),
    })),
    warnings: ["the certificate is self-signed: browsers on other machines warn of it"],
  };
  const by = (list, key, value) => all[list].find((one) => one[key] === value);
  const drop = (list, key) => (body) => {
    const found = by(list, key, body[key]);
    all[list] = all[list].filter((one) => one !== found);
    return found ? 200 : 404;
  };
  const change = (list, key) => (body) => {
    const found = by(list, key, body[key]);
    Object.assign(found ?? {}, body);
    return found ? found : 404;
  };
  const masked = ({ rtmpUrl, ...others }) => ({ ...others, ...(rtmpUrl && { target: rtmpUrl.replace(/[^/]+$/, "***"), keySet: true, usedBy: 0 }) });
  mock.destinations = () => all.destinations;
  const actions = ["publish", "play", "push", "read", "control", "admin"];
  const may = (who, ...allowed) => actions.map((action) => ({ who, action, allowed: allowed.includes(action) || allowed[0] === "admin", words: allowed.length === 0 ? "only with a password, a token, a key or a certificate" : who.startsWith("user") ? "acme/*, lobby-*" : "without a credential" }));
  Object.assign(mock.methods, {
    "access/report": () => ({ mode: "auto", warnings: all.warnings, who: [...may("stranger"), ...may("foreign page"), ...may("client on this machine", "admin"), ...may("user berta", "publish", "play", "push", "read", "control"),
      ...may("user vera", "read")] }),
    "user/find_all": () => all.users,
    "user/create": (body) => {
      if (by("users", "name", body.name)) {
        return 409;
      }
      const { password, ...user } = body;
      all.users.push({ ...user, source: "state", created: Date.now() });
      return { ...user, ...(password === undefined && { password: "abcde-fghij-k2345-mn678" }) };
    },
    "user/update": change("users", "name"),
    "user/remove": drop("users", "name"),
    "key/find_all": () => all.keys,
    "key/create": (body) => {
      const key = { id: `k${all.keys.length}`, owner: "admin", createdAt: Date.now(), ...body };
      all.keys.push(key);
      return { ...key, key: "tpk_abcdefghijklmnopqrstuvwxyz" };
    },
    "key/remove": drop("keys", "id"),
    "token/revocations": () => all.revocations,
    "token/revoke": (body) => (all.revocations.unshift({ ...body, before: Date.now(), at: Date.now(), by: "user::admin" }), 200),
    "destination/presets": () => [
      { id: "youtube", name: "YouTube", server: "rtmps://a.rtmps.youtube.com:443/live2", backup: "rtmps://b.rtmps.youtube.com:443/live2?backup=1", keyUrl: "https://www.youtube.com/live_dashboard" },
      { id: "twitch", name: "Twitch", server: "rtmps://live.twitch.tv/app" }, { id: "custom", name: "Another server" },
    ],
    "destination/create": (body) => (all.destinations.push(masked(body)), masked(body)),
    "destination/update": (body) => change("destinations", "name")(masked(body)),
    "destination/remove": drop("destinations", "name"),
    "app/find_all": () => all.apps,
    "app/methods": () => ({ methods: ["connect", "ConnectionStatusEvent", "publishStream", "StreamKeepAliveEvent"], default: ["connect", "ConnectionStatusEvent", "publishStream"] }),
    "app/create": (body) => (all.apps.push({ ...body, passwordSet: body.password !== undefined, source: "state" }), 200),
    "app/update": change("apps", "name"),
    "app/remove": drop("apps", "name"),
    "session/find_all": () => all.logins,
    "session/terminate": drop("logins", "id"),
    "audit": (_, query) => all.audit.filter((line) => (
      (!query.get("before") || line.id < Number(query.get("before"))) && (!query.get("do") || line.do === query.get("do")) && (!query.get("who") || line.who.sub === query.get("who"))))
      .slice(0, Number(query.get("limit"))),
  });
  return all;
}
