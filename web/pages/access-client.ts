import { inTime, patienceMs } from "./http.ts";
import { asList, Fields, type Rest } from "./rest.ts";

/** What somebody may do with which streams. */
export interface Grant {
  actions: string[];
  streams: string[];
  destinations: string[];
  urls: string[];
}

/** How much somebody may have at a time; 0 for any number. */
export interface Limits {
  publishers: number;
  players: number;
  pushes: number;
  /** Of each publisher. */
  bitrateKbps: number;
}

export interface UserInfo {
  name: string;
  role: string;
  streams: string[];
  /** The user stands in a file on the server, and cannot be changed here. */
  fromFile: boolean;
  created: number | null;
  lastLogin: number | null;
}

export interface KeyInfo {
  id: string;
  label: string;
  owner: string;
  grants: Grant[];
  /** The name of the stream that the key publishes; "" if the client gives it. */
  stream: string;
  limits: Limits;
  createdAt: number | null;
  expiresAt: number | null;
  lastUsedAt: number | null;
  lastUsedFrom: string;
}

export interface DestinationInfo {
  name: string;
  /** The address without secrets; "" if the person at the page may not see it. */
  target: string;
  keySet: boolean;
  streams: string[];
  app: string;
  usedBy: number | null;
}

/** A platform, and the rules for its address and its key. */
export interface PresetInfo {
  id: string;
  label: string;
  /** The address without the key; "" if each account has its own. */
  address: string;
  /** The address of the second server, which takes the same stream again; "" if there is none. */
  backup: string;
  /** Where people find the stream key; "" if unknown. */
  keyUrl: string;
}

export interface AppInfo {
  name: string;
  key: string;
  url: string;
  methods: string[];
  username: string;
  passwordSet: boolean;
  auth: string;
  onError: string;
  /** What clients may do whom the backend admits. Empty: publish and play everything. */
  grants: Grant[];
  limits: Limits;
  /** Where the app stands: "state", "file" or "built in". */
  source: string;
}

export interface LoginInfo {
  id: string;
  name: string;
  role: string;
  address: string;
  created: number | null;
  lastSeen: number | null;
  userAgent: string;
}

export interface AuditLine {
  id: string;
  at: number | null;
  who: string;
  kind: string;
  from: string;
  via: string;
  origin: string;
  action: string;
  /** What it was about. */
  object: string;
  ok: boolean;
  why: string;
  /** How many like this one came in a short time. */
  count: number;
}

export interface Report {
  warnings: string[];
  who: { who: string; action: string; allowed: boolean; words: string }[];
}

/** Tokens that are no longer valid. */
export interface Revocation {
  /** "jti" for one token, "sub" for those of an owner, "kid" for those that a key has signed. */
  kind: "jti" | "sub" | "kid";
  id: string;
  before: number | null;
  by: string;
}

/** The requests of the page for access. Every error is a Failure. */
export class AccessClient {
  constructor(private readonly rest: Rest) {}

  async report(): Promise<Report> {
    const fields = new Fields(await this.read("/access/report"));
    return {
      warnings: fields.texts("warnings"),
      who: asList(fields.value("who")).map((one) => new Fields(one)).map((one) => (
        { who: one.text("who"), action: one.text("action"), allowed: one.flag("allowed"), words: one.text("words") })),
    };
  }

  async users(): Promise<UserInfo[]> {
    return (await this.rest.search("/user/find_all", {})).map(parseUser);
  }

  /** Returns the password if the server has made it; "" otherwise. */
  async createUser(user: { name: string; role: string; streams: string[]; password: string }): Promise<string> {
    const { password, ...others } = user;
    return new Fields(await this.rest.ask("/user/create", { ...others, ...(password !== "" && { password }) }, patienceMs.slow)).text("password");
  }

  async updateUser(user: { name: string; role: string; streams: string[]; password: string }): Promise<void> {
    const { password, ...others } = user;
    await this.rest.order("/user/update", { ...others, ...(password !== "" && { password }) }, patienceMs.slow);
  }

  removeUser(name: string): Promise<void> {
    return this.rest.tell("/user/remove", { name });
  }

  async keys(): Promise<KeyInfo[]> {
    return (await this.rest.search("/key/find_all", {})).map(parseKey);
  }

  /** Returns the key itself, which the server tells only now. */
  async createKey(key: { label: string; grants: Grant[]; stream: string; limits: Limits; expiresAt: number }): Promise<string> {
    const { stream, expiresAt, ...others } = key;
    return new Fields(await this.rest.ask("/key/create", { ...others, ...(stream !== "" && { stream }), ...(expiresAt > 0 && { expiresAt }) })).text("key");
  }

  removeKey(id: string): Promise<void> {
    return this.rest.tell("/key/remove", { id });
  }

  async revocations(): Promise<Revocation[]> {
    return asList(await this.read("/token/revocations")).map(parseRevocation);
  }

  /** Makes tokens invalid that were issued until now. Sessions with such tokens end at once. */
  revoke(kind: string, id: string): Promise<void> {
    return this.rest.order("/token/revoke", { [kind]: id });
  }

  async destinations(): Promise<DestinationInfo[]> {
    return (await this.rest.search("/destination/find_all", {})).map(parseDestination);
  }

  /** Empty if the server knows no platforms. */
  async presets(): Promise<PresetInfo[]> {
    return asList(await this.read("/destination/presets")).map(parsePreset).filter(({ id }) => id !== "");
  }

  async writeDestination(method: "create" | "update", destination: Record<string, unknown>): Promise<void> {
    await this.rest.order(`/destination/${method}`, destination, patienceMs.slow);
  }

  removeDestination(name: string): Promise<void> {
    return this.rest.tell("/destination/remove", { name });
  }

  async apps(): Promise<AppInfo[]> {
    return (await this.rest.search("/app/find_all", {})).map(parseApp);
  }

  /** What a backend can be told of, and what it is told of if nothing else was chosen. */
  async methods(): Promise<{ all: string[]; usual: string[] }> {
    const fields = new Fields(await this.rest.ask("/app/methods", {}));
    return { all: fields.texts("methods"), usual: fields.texts("default") };
  }

  async writeApp(method: "create" | "update", app: Record<string, unknown>): Promise<void> {
    await this.rest.order(`/app/${method}`, app, patienceMs.slow);
  }

  removeApp(name: string): Promise<void> {
    return this.rest.tell("/app/remove", { name });
  }

  async logins(): Promise<LoginInfo[]> {
    return (await this.rest.search("/session/find_all", {})).map(parseLogin);
  }

  endLogin(id: string): Promise<void> {
    return this.rest.tell("/session/terminate", { id });
  }

  /** Lines of the audit log, the newest first. before is the id of a line; "" begins with the newest. */
  async audit(query: { limit: number; before: string; do: string; who: string }): Promise<AuditLine[]> {
    const given = Object.entries(query).filter(([, value]) => value !== "").map(([name, value]) => [name, String(value)]);
    return asList(await this.read(`/audit?${String(new URLSearchParams(given))}`)).map(parseAudit);
  }

  private read(path: string): Promise<unknown> {
    return inTime(patienceMs.quick, undefined, (signal) => this.rest._request(path, { signal }, (response) => response.json()));
  }
}

export function parseGrant(value: unknown): Grant {
  const fields = new Fields(value);
  return { actions: fields.texts("actions"), streams: fields.texts("streams"), destinations: fields.texts("destinations"), urls: fields.texts("urls") };
}

export function parseLimits(value: unknown): Limits {
  const fields = new Fields(value);
  return {
    publishers: fields.number("publishers") ?? 0, players: fields.number("players") ?? 0, pushes: fields.number("pushes") ?? 0,
    bitrateKbps: fields.number("bitrateKbps") ?? 0,
  };
}

export function parseUser(value: unknown): UserInfo {
  const fields = new Fields(value);
  return {
    name: fields.text("name"), role: fields.text("role"), streams: fields.texts("streams"), fromFile: fields.text("source") === "file",
    created: fields.number("created"), lastLogin: fields.number("lastLogin"),
  };
}

export function parseKey(value: unknown): KeyInfo {
  const fields = new Fields(value);
  return {
    id: fields.text("id"), label: fields.text("label"), owner: fields.text("owner"), grants: asList(fields.value("grants")).map(parseGrant),
    stream: fields.text("stream"), limits: parseLimits(fields.value("limits")), createdAt: fields.number("createdAt"), expiresAt: fields.number("expiresAt"),
    lastUsedAt: fields.number("lastUsedAt"), lastUsedFrom: fields.text("lastUsedFrom"),
  };
}

export function parseRevocation(value: unknown): Revocation {
  const fields = new Fields(value);
  const kind = (["sub", "kid"] as const).find((name) => fields.text(name) !== "") ?? "jti";
  return { kind, id: fields.text(kind), before: fields.number("before"), by: fields.text("by") };
}

export function parseDestination(value: unknown): DestinationInfo {
  const fields = new Fields(value);
  return {
    name: fields.text("name"), target: fields.text("target"), keySet: fields.flag("keySet"), streams: fields.texts("streams"),
    app: fields.text("app"), usedBy: fields.number("usedBy"),
  };
}

export function parsePreset(value: unknown): PresetInfo {
  const fields = new Fields(value);
  const id = fields.text("id");
  return { id, label: fields.text("name") || id, address: fields.text("server"), backup: fields.text("backup"), keyUrl: fields.text("keyUrl") };
}

export function parseApp(value: unknown): AppInfo {
  const fields = new Fields(value);
  return {
    name: fields.text("name"), key: fields.text("key"), url: fields.text("url"), methods: fields.texts("methods"), username: fields.text("username"),
    passwordSet: fields.flag("passwordSet"), auth: fields.text("auth"), onError: fields.text("onError"),
    grants: asList(fields.value("grants")).map(parseGrant), limits: parseLimits(fields.value("limits")), source: fields.text("source") || "state",
  };
}

export function parseLogin(value: unknown): LoginInfo {
  const fields = new Fields(value);
  return {
    id: fields.text("id"), name: fields.text("name"), role: fields.text("role"), address: fields.text("address"), created: fields.number("created"),
    lastSeen: fields.number("lastSeen"), userAgent: fields.text("userAgent"),
  };
}

export function parseAudit(value: unknown): AuditLine {
  const fields = new Fields(value);
  const who = new Fields(fields.value("who"));
  const at = fields.text("at");
  const time = at === "" ? fields.number("at") : Date.parse(at);
  const id = fields.number("id");
  return {
    id: id === null ? fields.text("id") : String(id), at: Number.isNaN(time) ? null : time, who: who.text("sub"), kind: who.text("kind"),
    from: fields.text("from"), via: fields.text("via"), origin: fields.text("origin"), action: fields.text("do"),
    object: [fields.text("object"), fields.text("stream"), fields.text("target")].filter((text) => text !== "").join(", "),
    ok: fields.flag("ok"), why: fields.text("why"), count: fields.number("count") ?? 1,
  };
}
