// The lists of the page for access, each with what can be done about its rows.

import type { AccessClient, AppInfo, AuditLine, DestinationInfo, Grant, KeyInfo, LoginInfo, Revocation, UserInfo } from "./access-client.ts";
import { appForm, destinationForm, keyForm, keyGrants, keyUntil, revokeForm, userForm, writtenApp, writtenDestination, writtenLimits } from "./access-forms.ts";
import { actionTitle, actionWords, authWords, kindWords, modeWords, rightWords, roleWords, tokenWords, whoWords } from "./access-words.ts";
import { confirm, type Question } from "./confirm.ts";
import { create, element, setText } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import { FormDialog, showSecret, type Values } from "./form-dialog.ts";
import { count, inSentence, moment } from "./format.ts";
import { t } from "./language.ts";
import { Rows, type Row } from "./rows.ts";
import { serverNow } from "./server-clock.ts";

/** What the lists need of the page around them. */
export interface Surroundings {
  client: AccessClient;
  form: FormDialog;
  /** The address of this server's RTMP port, for encoders; "" if it has none. */
  rtmp: () => string;
  /** Shows a failure of an action. */
  failed: (failure: Failure) => void;
}

/** One part of the page. */
export interface Section {
  /** Asks the server, and shows the answer. */
  load(): Promise<void>;
}

/** Asks before an action that cannot be undone, does it, and loads the list again. */
async function ask(around: Surroundings, section: Section, question: Question, run: () => Promise<void>): Promise<void> {
  if (!(await confirm(question))) {
    return;
  }
  try {
    await run();
    await section.load();
  } catch (error) {
    around.failed(asFailure(error));
  }
}

function onClick(row: Row, part: string, label: string, run: () => void): void {
  row.part(part).addEventListener("click", run);
  row.part(part).setAttribute("aria-label", label);
}

function showEmpty(id: string, things: unknown[], nothing: string): void {
  setText(element(`${id}-empty`, HTMLElement), things.length === 0 ? nothing : "");
}

function time(at: number | null, none: string): string {
  return at === null || at === 0 ? none : moment(at, serverNow());
}

function streams(patterns: string[]): string {
  return patterns.length === 0 || patterns.includes("*") ? t("all") : several(patterns);
}

function several(names: string[]): string {
  return names.map(inSentence).join(", ");
}

/** Grants in a few words: "publish cam-*; push cam-* to youtube-main". */
export function grantWords(grants: Grant[]): string {
  return grants.map((grant) => {
    const targets = [...grant.destinations, ...grant.urls];
    const words = { actions: grant.actions.map(actionWords).join(", "), streams: grant.streams.includes("*") ? t("all streams") : several(grant.streams) };
    return targets.length === 0 ? t("{actions} {streams}", words)
      : t("{actions} {streams} to {targets}", { ...words, targets: targets.includes("*") ? t("anywhere") : several(targets) });
  }).join("; ") || t("nothing");
}

export class Overview implements Section {
  /** mode says who needs a credential. */
  constructor(private readonly around: Surroundings, private readonly mode: () => string) {}

  async load(): Promise<void> {
    const mode = this.mode();
    setText(element("mode", HTMLElement), `access=${mode}`);
    setText(element("mode-words", HTMLElement), modeWords(mode));
    const report = await this.around.client.report();
    element("warnings", HTMLElement).replaceChildren(...report.warnings.map((text) => inEnglish(create("li", "", inSentence(text)))));
    const actions = [...new Set(report.who.map(({ action }) => action))];
    const people = [...new Set(report.who.map(({ who }) => who))];
    const head = create("tr");
    head.append(scoped("col", t("Who")), ...actions.map((action) => scoped("col", actionTitle(action))));
    const rows = people.map((who) => {
      const row = create("tr", who === "stranger" || who === "foreign page" ? "stranger" : "");
      row.append(scoped("row", whoWords(inSentence(who))), ...actions.map((action) => {
        const found = report.who.find((line) => line.who === who && line.action === action);
        const cell = create("td");
        const answer = create("span", found?.allowed ? "yes" : "no", found === undefined ? "–" : found.allowed ? t("Yes") : t("No"));
        const said = inSentence(found?.words ?? "");
        const words = rightWords(said);
        (words === null ? inEnglish(cell) : cell).title = words ?? said;
        answer.lang = document.documentElement.lang;
        cell.append(answer);
        if (found?.allowed) {
          cell.append(create("bdi", "to", cell.title));
        }
        return cell;
      }));
      return row;
    });
    const table = element("who", HTMLTableElement);
    table.tHead?.replaceChildren(head);
    table.tBodies[0]?.replaceChildren(...rows);
    element("who-box", HTMLElement).hidden = rows.length === 0;
  }
}

/** Marks the words of the server, which speaks only English. */
function inEnglish<E extends HTMLElement>(part: E): E {
  part.lang = "en";
  return part;
}

function scoped(scope: string, text: string): HTMLTableCellElement {
  const cell = Object.assign(create("th"), { scope });
  cell.append(create("bdi", "", text));
  return cell;
}

export class Users implements Section {
  private readonly rows: Rows<UserInfo>;

  constructor(private readonly around: Surroundings) {
    const { client, form } = around;
    this.rows = new Rows("users", ({ name }) => name, (row, name) => {
      let shown: UserInfo | null = null;
      onClick(row, "change", t("Change {name}", { name: inSentence(name) }), () => form.open(userForm(shown), async (values) => {
        await client.updateUser(written(values, name));
        await this.load();
      }));
      onClick(row, "remove", t("Remove {name}", { name: inSentence(name) }), () => void ask(around, this, {
        title: t("Remove the user “{name}”?", { name: inSentence(name) }),
        text: t("This person is signed out everywhere at once, and what this person publishes and plays ends."),
        action: t("Remove the user"),
      }, () => client.removeUser(name)));
      return (user) => {
        shown = user;
        row.set("name", user.name);
        row.set("role", roleWords(user.role));
        row.set("source", user.fromFile ? t("from rest_users_file") : user.created === null ? "" : t("since {time}", { time: time(user.created, "") }));
        row.set("streams", streams(user.streams));
        row.set("seen", time(user.lastLogin, t("never")));
        row.part("change").hidden = user.fromFile;
        row.part("remove").hidden = user.fromFile;
      };
    });
    element("users-add", HTMLButtonElement).addEventListener("click", () => form.open(userForm(null), async (values) => {
      const made = await client.createUser(written(values, values.text("name")));
      await this.load();
      if (made !== "") {
        void showSecret(t("The password"), [t("The server has made this password for {name}, and shows it only now.", { name: inSentence(values.text("name")) })], made);
      }
    }));
  }

  async load(): Promise<void> {
    const users = await this.around.client.users();
    this.rows.show(users);
    showEmpty("users", users, t("There are no users."));
  }
}

function written(values: Values, name: string): { name: string; role: string; streams: string[]; password: string } {
  const patterns = values.words("streams");
  return { name, role: values.text("role"), streams: patterns.length === 0 ? ["*"] : patterns, password: values.text("password") };
}

export class Keys implements Section {
  private readonly rows: Rows<KeyInfo>;

  constructor(private readonly around: Surroundings) {
    const { client } = around;
    this.rows = new Rows("keys", ({ id }) => id, (row, id) => {
      let label = "";
      row.part("remove").addEventListener("click", () => void ask(around, this, {
        title: t("Remove the key “{name}”?", { name: inSentence(label) }),
        text: t("Whoever uses it is cut off at once. A key that was removed does not come back."),
        action: t("Remove the key"),
      }, () => client.removeKey(id)));
      return (key) => {
        label = key.label || key.id;
        row.set("label", label);
        row.set("owner", key.owner || t("nobody"));
        row.set("grants", key.stream === "" ? grantWords(key.grants) : t("{grants}; always as {name}", { grants: grantWords(key.grants), name: inSentence(key.stream) }));
        row.set("used", key.lastUsedAt === null || key.lastUsedAt === 0 ? t("never") : `${time(key.lastUsedAt, "")} ${inSentence(key.lastUsedFrom)}`.trim());
        row.set("until", time(key.expiresAt, t("removed")));
        row.part("remove").setAttribute("aria-label", t("Remove the key {name}", { name: inSentence(label) }));
      };
    });
    element("keys-add", HTMLButtonElement).addEventListener("click", () => void this.add());
  }

  async load(): Promise<void> {
    const keys = await this.around.client.keys();
    this.rows.show(keys);
    showEmpty("keys", keys, t("There are no keys."));
  }

  private async add(): Promise<void> {
    const { client, form, rtmp } = this.around;
    const destinations = await client.destinations().catch(() => []);
    form.open(keyForm(destinations.map(({ name }) => name)), async (values) => {
      const stream = values.text("stream");
      const key = await client.createKey({ label: values.text("label"), grants: keyGrants(values), stream, limits: writtenLimits(values), expiresAt: keyUntil(values, serverNow()) });
      await this.load();
      const obs = rtmp() !== "" && values.list("actions").includes("publish") ? [t("In OBS: server {address}, stream key as below.", { address: rtmp() })] : [];
      void showSecret(t("The key"), [t("The server shows it only now. Whoever has it may do what it allows."), ...obs], key);
    });
  }
}

/** Tokens themselves are kept nowhere: the list has those that were revoked. */
export class Tokens implements Section {
  private readonly rows: Rows<Revocation>;

  constructor(private readonly around: Surroundings) {
    this.rows = new Rows("tokens", ({ kind, id }) => `${kind} ${id}`, (row) => (one) => {
      row.set("what", tokenWords(one.kind, inSentence(one.id)));
      row.set("before", time(one.before, "–"));
      row.set("by", one.by || "–");
    });
    element("tokens-add", HTMLButtonElement).addEventListener("click", () => around.form.open(revokeForm, async (values) => {
      await around.client.revoke(values.text("kind"), values.text("id"));
      await this.load();
    }));
  }

  async load(): Promise<void> {
    const revoked = await this.around.client.revocations();
    this.rows.show(revoked);
    showEmpty("tokens", revoked, t("No token was revoked."));
  }
}

export class Destinations implements Section {
  private readonly rows: Rows<DestinationInfo>;

  /** admin: the person at the page may change them. */
  constructor(private readonly around: Surroundings, private readonly admin: () => boolean) {
    const { client } = around;
    this.rows = new Rows("destinations", ({ name }) => name, (row, name) => {
      let shown: DestinationInfo | null = null;
      onClick(row, "change", t("Change {name}", { name: inSentence(name) }), () => void this.edit(shown));
      onClick(row, "remove", t("Remove {name}", { name: inSentence(name) }), () => void ask(around, this, {
        title: t("Remove the destination “{name}”?", { name: inSentence(name) }),
        text: t("Its stream key is forgotten. Pushes that go there now go on."),
        action: t("Remove the destination"),
      }, () => client.removeDestination(name)));
      return (one) => {
        shown = one;
        row.set("name", one.name);
        row.set("target", inSentence(one.target).replace(/^rtmps?:\/\//, "").replace(/\*{3}$/, "•••"));
        row.set("streams", streams(one.streams));
        row.set("used", count(one.usedBy));
        row.part("change").hidden = !this.admin();
        row.part("remove").hidden = !this.admin();
      };
    });
    element("destinations-add", HTMLButtonElement).addEventListener("click", () => void this.edit(null));
  }

  async load(): Promise<void> {
    const found = await this.around.client.destinations();
    element("destinations-add", HTMLElement).hidden = !this.admin();
    this.rows.show(found);
    showEmpty("destinations", found, t("There are no destinations."));
  }

  private async edit(destination: DestinationInfo | null): Promise<void> {
    const { client, form } = this.around;
    const presets = await client.presets().catch(() => []);
    form.open(destinationForm(destination, presets), async (values) => {
      const name = destination?.name ?? values.text("name");
      await client.writeDestination(destination ? "update" : "create", writtenDestination(values, name, presets));
      await this.load();
    });
  }
}

export class Apps implements Section {
  private readonly rows: Rows<AppInfo>;

  constructor(private readonly around: Surroundings) {
    const { client } = around;
    this.rows = new Rows("apps", ({ name }) => name, (row, name) => {
      let shown: AppInfo | null = null;
      onClick(row, "change", t("Change the app {name}", { name: inSentence(name) }), () => void this.edit(shown));
      onClick(row, "remove", t("Remove the app {name}", { name: inSentence(name) }), () => void ask(around, this, {
        title: t("Remove the app “{name}”?", { name: inSentence(name) }),
        text: t("New clients that name its appKey are treated as those of an app without a backend."),
        action: t("Remove the app"),
      }, () => client.removeApp(name)));
      return (app) => {
        shown = app;
        row.set("name", app.name);
        row.set("key", app.key);
        row.set("url", app.url || t("none"));
        row.set("auth", authWords(app.auth));
        row.set("methods", count(app.url === "" ? null : app.methods.length));
        row.part("change").hidden = app.source === "file";
        row.part("remove").hidden = app.source !== "state";
      };
    });
    element("apps-add", HTMLButtonElement).addEventListener("click", () => void this.edit(null));
  }

  async load(): Promise<void> {
    const apps = await this.around.client.apps();
    this.rows.show(apps);
    showEmpty("apps", apps, t("There are no apps."));
  }

  private async edit(app: AppInfo | null): Promise<void> {
    const { client, form } = this.around;
    const { all, usual } = await client.methods().catch(() => ({ all: [], usual: [] }));
    form.open(appForm(app, all, usual), async (values) => {
      await client.writeApp(app ? "update" : "create", writtenApp(values, app));
      await this.load();
    });
  }
}

export class Logins implements Section {
  private readonly rows: Rows<LoginInfo>;

  constructor(private readonly around: Surroundings) {
    this.rows = new Rows("logins", ({ id }) => id, (row, id) => {
      let name = "";
      row.part("end").addEventListener("click", () => void ask(around, this, {
        title: t("Sign “{name}” out?", { name: inSentence(name) }),
        text: t("This browser has to sign in again. What it publishes goes on."),
        action: t("Sign out"),
      }, () => around.client.endLogin(id)));
      return (login) => {
        name = login.name;
        row.set("name", login.name);
        row.set("role", roleWords(login.role));
        row.set("agent", browserName(login.userAgent));
        row.set("address", login.address);
        row.set("since", time(login.created, "–"));
        row.set("seen", time(login.lastSeen, "–"));
        row.part("end").setAttribute("aria-label", t("Sign out {name} at {address}", { name: inSentence(login.name), address: inSentence(login.address) }));
      };
    });
  }

  async load(): Promise<void> {
    const logins = await this.around.client.logins();
    this.rows.show(logins);
    showEmpty("logins", logins, t("Nobody has signed in."));
  }
}

const browsers = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Safari", "Safari"]] as const;

const systems = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]] as const;

/** The browser and the system of a User-Agent header. Of an unknown program: the header itself. */
export function browserName(agent: string): string {
  const find = (list: readonly (readonly [string, string])[]): string | undefined => list.find(([mark]) => agent.includes(mark))?.[1];
  const [browser, system] = [find(browsers), find(systems)];
  return browser === undefined ? agent.slice(0, 60) : system === undefined ? browser : t("{browser} on {system}", { browser, system });
}

const pageLength = 100;

export class Audit implements Section {
  private readonly rows: Rows<AuditLine>;
  private lines: AuditLine[] = [];

  constructor(private readonly around: Surroundings) {
    this.rows = new Rows("audit", ({ id }) => id, (row) => (line) => {
      row.root.dataset["ok"] = line.ok ? "yes" : "no";
      row.set("ok", line.ok ? t("Done") : t("Refused"));
      row.set("action", line.count > 1 ? t("{action}, {n} times", { action: inSentence(line.action), n: line.count }) : line.action);
      row.part("action").lang = line.count > 1 ? document.documentElement.lang : "en"; // the name of an action, as the filter takes it
      row.set("object", inSentence(line.object));
      row.set("who", line.who || kindWords(line.kind));
      row.set("from", several([line.from, line.via, line.origin].filter((text) => text !== "" && text !== location.origin)));
      row.set("why", inSentence(line.why));
      row.set("when", time(line.at, ""));
    });
    element("audit-filter", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.lines = [];
      void this.more("");
    });
    element("audit-older", HTMLButtonElement).addEventListener("click", () => void this.more(this.lines.at(-1)?.id ?? ""));
  }

  /** Shows the newest lines. Whoever reads older ones is not disturbed. */
  async load(): Promise<void> {
    if (this.lines.length <= pageLength) {
      this.show(await this.find(""), false);
    }
  }

  private async more(before: string): Promise<void> {
    try {
      this.show(await this.find(before), before !== "");
    } catch (error) {
      this.around.failed(asFailure(error));
    }
  }

  private find(before: string): Promise<AuditLine[]> {
    const text = (id: string): string => element(id, HTMLInputElement).value.trim();
    return this.around.client.audit({ limit: pageLength, before, do: text("audit-do"), who: text("audit-who") });
  }

  private show(found: AuditLine[], older: boolean): void {
    this.lines = older ? [...this.lines, ...found] : found;
    this.rows.show(this.lines);
    showEmpty("audit", this.lines, t("Nothing was written down."));
    element("audit-older", HTMLElement).hidden = found.length < pageLength;
  }
}
