// The forms of the page for access, and what they send to the server.

import type { AppInfo, DestinationInfo, Grant, Limits, PresetInfo, UserInfo } from "./access-client.ts";
import { actionChoices, authChoice } from "./access-words.ts";
import { addressProblem, keyProblem, withKey } from "./address.ts";
import type { Field, Form, Values } from "./form-dialog.ts";
import * as format from "./format.ts";
import { t } from "./language.ts";

const patternHint = t("Names of streams, separated by spaces. * stands for any characters: cam-*. Empty means all streams.");

export function userForm(user: UserInfo | null): Form {
  return {
    title: user ? t("Change “{name}”", { name: format.inSentence(user.name) }) : t("Add a user"),
    action: user ? t("Change the user") : t("Add the user"),
    fields: [
      ...(user ? [] : [{ kind: "text" as const, id: "name", label: t("Name"), check: (text: string) => (text === "" ? t("Give the user a name.") : text.includes(":") ? t("A name has no colon.") : "") }]),
      {
        kind: "choice", id: "role", label: t("Role"), value: user?.role ?? "operator", options: [
          ["viewer", t("Viewer: sees streams and pushes")], ["operator", t("Operator: also publishes, plays, pushes to saved destinations, and ends")],
          ["admin", t("Administrator: everything")],
        ],
      },
      { kind: "text", id: "streams", label: t("Streams"), hint: patternHint, placeholder: t("all"), value: (user?.streams ?? []).filter((one) => one !== "*").join(" ") },
      {
        kind: "password", id: "password", label: user ? t("New password") : t("Password"),
        hint: user ? t("Empty: the password stays. A new one signs this person out everywhere.") : t("Empty: the server makes one, and shows it once."),
      },
    ],
  };
}

const limitNames = [
  ["publishers", t("Publishers at a time")], ["players", t("Players at a time")], ["pushes", t("Pushes at a time")],
  ["bitrateKbps", t("Bit rate of a publisher, kbit/s")],
] as const;

function limitFields(limits: Limits | null): Field[] {
  return limitNames.map(([name, label]) => ({
    kind: "number", id: `limit-${name}`, label, value: limits && limits[name] > 0 ? String(limits[name]) : "", placeholder: t("any number"),
    check: (text) => (/^\d{0,9}$/.test(text) ? "" : t("Give a whole number, or nothing.")),
  }));
}

export function writtenLimits(values: Values): Limits {
  const of = (name: string): number => values.number(`limit-${name}`);
  return { publishers: of("publishers"), players: of("players"), pushes: of("pushes"), bitrateKbps: of("bitrateKbps") };
}

const lifetimes = [
  ["0", t("Until it is removed")], ["1", t("One day")], ["7", t("One week")], ["30", t("30 days")], ["365", t("One year")],
] as const;

const dayMs = 24 * 3600 * 1000;

export function keyForm(destinations: string[]): Form {
  const pushes = (values: Values): boolean => values.list("actions").includes("push");
  return {
    title: t("Make a key"),
    text: t("The key is shown once, right after it was made."),
    action: t("Make the key"),
    fields: [
      { kind: "text", id: "label", label: t("What it is for"), placeholder: t("OBS in the lobby"), check: (text) => (text === "" ? t("Say what the key is for: later nobody can tell from the key.") : "") },
      {
        kind: "checks", id: "actions", label: t("It may"), values: ["publish"], options: actionChoices(),
      },
      {
        kind: "text", id: "stream", label: t("Name of the stream"), placeholder: "lobby", when: (values) => values.list("actions").includes("publish"),
        hint: t("Whatever an encoder calls its stream, it appears under this name. Empty: under the name that the encoder gives."),
      },
      { kind: "text", id: "streams", label: t("Streams"), placeholder: t("all"), hint: patternHint, when: (values) => values.text("stream") === "" || values.list("actions").some((action) => action !== "publish") },
      ...(destinations.length === 0 ? [] : [{ kind: "checks" as const, id: "destinations", label: t("It may push to"), values: [], options: destinations.map((name) => [name, name] as const), when: pushes }]),
      {
        kind: "text", id: "urls", label: destinations.length === 0 ? t("It may push to") : t("It may also push to"), placeholder: "rtmps://live.example.com:443/app/*", when: pushes,
        hint: t("Addresses, separated by spaces. * stands for any characters."),
        check: (_, values) => urlsProblem(values),
      },
      { kind: "choice", id: "days", label: t("It is good"), value: "0", options: lifetimes },
      ...limitFields(null),
    ],
  };
}

/** The grants of a key: one for publishing under its own name, if it has one, and one for the rest. */
export function keyGrants(values: Values): Grant[] {
  const stream = values.text("stream");
  const patterns = values.words("streams");
  const [destinations, urls] = [values.list("destinations"), values.words("urls")];
  const grant = (actions: string[], streams: string[]): Grant => ({ actions, streams, destinations: [], urls: [] });
  const actions = values.list("actions");
  const own = stream !== "" && actions.includes("publish");
  const others = own ? actions.filter((action) => action !== "publish") : actions;
  const all = [...(own ? [grant(["publish"], [stream])] : []), ...(others.length === 0 ? [] : [grant(others, patterns.length === 0 ? ["*"] : patterns)])];
  return all.map((one) => (one.actions.includes("push") ? { ...one, destinations, urls } : one));
}

/** When a key ends, ms since 1970; 0 for never. */
export function keyUntil(values: Values, now: number): number {
  const days = values.number("days");
  return days === 0 ? 0 : now + days * dayMs;
}

export const revokeForm: Form = {
  title: t("Revoke tokens"),
  text: t("Sessions that began with such a token end at once. Tokens that are issued later are valid."),
  action: t("Revoke"),
  fields: [
    {
      kind: "choice", id: "kind", label: t("Which"), value: "sub",
      options: [["sub", t("All tokens of an owner (sub)")], ["jti", t("One token (jti)")], ["kid", t("All tokens that a key has signed (kid)")]],
    },
    { kind: "text", id: "id", label: t("Its name"), placeholder: "user:berta", hint: t("As it stands in the token. Tokens that this server has made for a user are of user:NAME."), check: (text) => (text === "" ? t("Give the name.") : "") },
  ],
};

const keepAddress = "keep";

/** The address of a platform with its second server. */
const backup = "/backup";

/** The platform that was chosen. */
function platformOf(values: Values, presets: PresetInfo[]): { preset: string; address: string; keyUrl: string } {
  const choice = values.text("platform");
  const found = presets.find(({ id }) => id === choice.replace(backup, ""));
  return { preset: found?.id ?? "", address: (choice.endsWith(backup) ? found?.backup : found?.address) ?? "", keyUrl: found?.keyUrl ?? "" };
}

export function destinationForm(destination: DestinationInfo | null, presets: PresetInfo[]): Form {
  const platforms = presets.length === 0
    ? [{ id: "custom", label: t("RTMP server"), address: "", backup: "", keyUrl: "" }]
    : presets.map((one) => (one.id === "custom" ? { ...one, label: t("Another server") } : one)); // the other names are proper names
  const options = platforms.flatMap(({ id, label, backup: second }) => (
    [[id, label] as const, ...(second === "" ? [] : [[`${id}${backup}`, t("{platform}, second server", { platform: label })] as const])]));
  const changes = (values: Values): boolean => values.text("platform") !== keepAddress;
  const needsAddress = (values: Values): boolean => changes(values) && platformOf(values, presets).address === "";
  return {
    title: destination ? t("Change “{name}”", { name: format.inSentence(destination.name) }) : t("Add a destination"),
    text: t("Nobody can read the stream key back, not even an administrator."),
    action: destination ? t("Change the destination") : t("Add the destination"),
    fields: [
      ...(destination ? [] : [{
        kind: "text" as const, id: "name", label: t("Name"), placeholder: "youtube-main",
        check: (text: string) => (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(text) ? "" : t("Use small letters a to z, digits, and - . _, without spaces; 64 at most.")),
      }]),
      {
        kind: "choice", id: "platform", label: t("Platform"), value: destination ? keepAddress : (options[0]?.[0] ?? ""),
        options: [...(destination ? [[keepAddress, t("Keep the address and the key")] as const] : []), ...options],
      },
      { kind: "url", id: "address", label: t("Address"), placeholder: "rtmps://live.example.com/app", when: needsAddress, check: addressProblem },
      {
        kind: "password", id: "key", label: t("Stream key"), when: changes,
        hint: (values) => {
          const { address, keyUrl } = platformOf(values, presets);
          return keyUrl !== "" ? t("People find it at {place}.", { place: keyUrl.replace(/^https?:\/\//, "") }) : address !== "" ? t("As the platform gives it.") : t("Empty if the address ends with it.");
        },
        check: (text, values) => {
          const custom = platformOf(values, presets).address === "";
          return !custom && text.trim() === "" ? t("Give the stream key.") : keyProblem({ kind: custom ? "custom" : "youtube", address: "", key: text });
        },
      },
      { kind: "text", id: "streams", label: t("For streams"), placeholder: t("all"), hint: patternHint, value: (destination?.streams ?? []).filter((one) => one !== "*").join(" ") },
    ],
  };
}

/** What is sent for a destination. Without an address, the server keeps the address and the key that it has. */
export function writtenDestination(values: Values, name: string, presets: PresetInfo[]): Record<string, unknown> {
  const { preset, address } = platformOf(values, presets);
  const where = address || values.text("address");
  const key = values.text("key").trim();
  const patterns = values.words("streams");
  return {
    name, streams: patterns.length === 0 ? ["*"] : patterns,
    ...(where !== "" && { rtmpUrl: key === "" ? where : withKey(where, key), rtmpTransponderFullUrl: true, ...(preset !== "" && { preset }) }),
  };
}

/** The grant of an app that the form can show: one, or none. Several are changed by REST only, and stay as they are here. */
function onlyGrant(app: AppInfo | null): Grant | null {
  return app && app.grants.length > 1 ? null : (app?.grants[0] ?? { actions: ["publish", "play"], streams: ["*"], destinations: [], urls: [] });
}

/** The fields for what clients of an app may do. */
function grantFields(app: AppInfo | null, asked: (values: Values) => boolean): Field[] {
  const grant = onlyGrant(app);
  if (!grant) {
    return [];
  }
  const pushes = (values: Values): boolean => asked(values) && values.list("may").includes("push");
  return [
    {
      kind: "checks", id: "may", label: t("Clients whom the backend admits may"), values: grant.actions, when: asked,
      options: actionChoices(),
    },
    { kind: "text", id: "streams", label: t("Streams"), placeholder: t("all"), hint: patternHint, when: asked, value: grant.streams.filter((one) => one !== "*").join(" ") },
    {
      kind: "text", id: "destinations", label: t("They may push to destinations"), when: pushes, value: grant.destinations.join(" "), placeholder: "youtube-main",
      hint: t("Names of saved destinations, separated by spaces. * stands for any characters."),
    },
    {
      kind: "text", id: "urls", label: t("They may also push to addresses"), when: pushes, value: grant.urls.join(" "), placeholder: "rtmps://live.example.com:443/app/*",
      hint: t("Addresses, separated by spaces. * stands for any characters."), check: (_, values) => urlsProblem(values),
    },
  ];
}

function urlsProblem(values: Values): string {
  return values.words("urls").some((url) => url !== "*" && !/^rtmps?:\/\/[^/]/.test(url)) ? t("An address begins with rtmp:// or rtmps://.") : "";
}

export function appForm(app: AppInfo | null, methods: string[], usual: string[]): Form {
  const asked = (values: Values): boolean => values.text("url") !== "";
  return {
    title: app ? t("Change “{name}”", { name: format.inSentence(app.name) }) : t("Add an app"),
    action: app ? t("Change the app") : t("Add the app"),
    fields: [
      ...(app ? [] : [{ kind: "text" as const, id: "name", label: t("Name"), check: (text: string) => (text === "" ? t("Give the app a name.") : "") }]),
      { kind: "text", id: "key", label: "appKey", value: app?.key ?? "", hint: t("What clients name when they connect. Empty: the name."), placeholder: "defaultApp" },
      {
        kind: "url", id: "url", label: t("Address of the backend"), value: app?.url ?? "", placeholder: "https://backend.example.com/hooks",
        hint: t("The server appends the name of the method, as in …/connect. Empty: no backend is asked."),
        check: (text) => (text === "" || /^https?:\/\/[^/]/.test(text) ? "" : t("The address begins with http:// or https://.")),
      },
      {
        kind: "choice", id: "auth", label: t("Lets in"), value: app?.auth ?? "", options: [
          ["", t("As usual: whom the backend admits, or without a backend as the settings say")], ...["open", "token", "hook", "token+hook"].map((one) => [one, authChoice(one)] as const),
        ],
      },
      { kind: "text", id: "username", label: t("User name for the backend"), value: app?.username ?? "", when: asked, hint: t("If the backend asks for one by HTTP Basic.") },
      { kind: "password", id: "password", label: t("Password for the backend"), when: asked, ...(app?.passwordSet && { hint: t("Empty: the password stays.") }) },
      {
        kind: "choice", id: "onError", label: t("If the backend refuses"), value: app?.onError ?? "", when: asked, options: [
          ["", t("As the settings say")], ["FAIL", t("The client is refused")], ["LOG", t("The log says so, and the client goes on, except when it connects")],
        ],
      },
      ...(methods.length === 0 ? [] : [{ kind: "checks" as const, id: "methods", label: t("The backend is told of"), values: app?.methods ?? usual, options: methods.map((name) => [name, name] as const), when: asked }]),
      ...grantFields(app, asked),
      ...limitFields(app?.limits ?? null),
    ],
  };
}

/** What is sent for an app. A password that was not entered stays. */
export function writtenApp(values: Values, app: AppInfo | null): Record<string, unknown> {
  const password = values.text("password");
  const key = values.text("key");
  const asked = values.text("url") !== "";
  const patterns = values.words("streams");
  const grant = { actions: values.list("may"), streams: patterns.length === 0 ? ["*"] : patterns, destinations: values.words("destinations"), urls: values.words("urls") };
  return {
    name: app?.name ?? values.text("name"), ...(key !== "" && { key }), url: values.text("url"), username: values.text("username"), auth: values.text("auth"),
    onError: values.text("onError"), ...(password !== "" && { password }), ...(asked && { methods: values.list("methods") }),
    ...(asked && onlyGrant(app) && { grants: [grant] }), limits: writtenLimits(values),
  };
}
