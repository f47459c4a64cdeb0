// Tests the package that `npm pack` makes of the SDK: its files, its builds, and the code in its documents, which must match its types.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import vm from "node:vm";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../../", import.meta.url));
const bin = fileURLToPath(new URL("node_modules/.bin", import.meta.url)); // tsc
const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` };
let work, files;

/** Installs the package as npm does, without a registry. */
before(async () => {
  work = await mkdtemp(path.join(tmpdir(), "sdk-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", work], { cwd: path.join(root, "web/sdk"), env });
  const [pack] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))); // prepack prints lines before the JSON
  files = pack.files.map((file) => file.path).sort();
  await mkdir(path.join(work, "node_modules/transponder-sdk"), { recursive: true });
  await run("tar", ["-xzf", path.join(work, pack.filename), "-C", path.join(work, "node_modules/transponder-sdk"), "--strip-components=1"]);
}, { timeout: 180_000 });
after(() => rm(work, { recursive: true, force: true }));

const inPackage = (name) => path.join(work, "node_modules/transponder-sdk", name);

test("the files of the package", async () => {
  for (const wanted of ["LICENSE", "README.md", "package.json", "dist/transponder.js", "dist/flashphoner.js", "dist/index.d.ts", "dist/cjs/package.json"]) {
    assert.ok(files.includes(wanted), `${wanted} is in ${files}`);
  }
  assert.deepEqual(files.filter((name) => !/^(LICENSE|README\.md|(dist\/cjs\/)?package\.json|dist\/(cjs\/)?[\w-]+\.(d\.ts|js|js\.map))$/.test(name)), []);
  const { dependencies, exports, types } = JSON.parse(await readFile(inPackage("package.json"), "utf8"));
  assert.equal(dependencies, undefined);
  const targets = (entry) => typeof entry === "string" ? [entry] : Object.values(entry).flatMap(targets);
  for (const name of [types, ...targets(exports)]) {
    assert.ok(files.includes(name.slice(2)), name);
  }
  for (const build of ["", "-calls"].flatMap((calls) => [`transponder${calls}`, `flashphoner${calls}`, `cjs/transponder${calls}`])) {
    const map = JSON.parse(await readFile(inPackage(`dist/${build}.js.map`), "utf8"));
    assert.ok(map.sources.includes("session.ts") && map.sourcesContent.length === map.sources.length);
    assert.ok((await readFile(inPackage(`dist/${build}.js`), "utf8")).trimEnd().endsWith(`//# sourceMappingURL=${path.basename(build)}.js.map`));
  }
  assert.equal(await readFile(inPackage("LICENSE"), "utf8"), await readFile(path.join(root, "LICENSE"), "utf8"));
});

test("all builds", async () => {
  const sdk = await import(pathToFileURL(inPackage("dist/transponder.js")));
  assert.equal(typeof sdk.Flashphoner.createSession, "function");
  const required = createRequire(path.join(work, "page.cjs"))("transponder-sdk");
  assert.deepEqual(Object.keys(required).sort(), Object.keys(sdk).sort());
  assert.equal(required.default, required.Flashphoner);
  assert.notEqual(required.Flashphoner, sdk.Flashphoner, "Node took the module for CommonJS");
  const context = vm.createContext({});
  vm.runInContext(await readFile(inPackage("dist/flashphoner.js"), "utf8"), context);
  const { Flashphoner } = context;
  assert.deepEqual(Object.keys(Flashphoner).sort(), Object.keys(sdk).sort());
  assert.deepEqual(Object.keys(Flashphoner.constants).sort(), ["CONNECTION_QUALITY", "CONTENT_HINT_TYPE", "ERROR_INFO", "MEDIA_DEVICE_KIND",
    "SESSION_STATUS", "STREAM_EVENT", "STREAM_EVENT_TYPE", "STREAM_STATUS", "STREAM_STATUS_INFO", "TRANSPORT_TYPE"]);
  for (const name of ["init", "createSession", "getSessions", "getSession", "getMediaDevices", "getMediaAccess", "releaseLocalMedia",
    "getMediaProviders", "playFirstVideo", "playFirstSound", "RestApi", "SdkError"]) {
    assert.equal(typeof Flashphoner[name], "function", name);
  }
});

test("what stands on the core loads the core, and uses only what it exports", async () => {
  const sdk = await import(pathToFileURL(inPackage("dist/transponder.js")));
  for (const [name, wanted] of [["controllers", "PlayerController,Presence,PublisherController,PushController,ScreenShare,captureScreen"],
    ["elements", "PlayerElement,PublisherElement,texts"]]) {
    const source = await readFile(inPackage(`dist/transponder-${name}.js`), "utf8");
    for (const [, names] of source.matchAll(/import\s*\{([^}]*)\}\s*from\s*"\.\/transponder\.js"/g)) {
      names.split(",").forEach((each) => assert.ok(each.split(" as ")[0].trim() in sdk, each));
    }
    const exported = Object.keys(await import(pathToFileURL(inPackage(`dist/transponder-${name}.js`)))).filter((each) => each !== "Controller");
    assert.equal(exported.sort().join(), wanted);
    const required = createRequire(path.join(work, "page.cjs"))(`transponder-sdk/${name}`);
    assert.equal(Object.keys(required).filter((each) => each !== "Controller").sort().join(), wanted);
    for (const each of ["controller", "player-controller", "publisher-controller", "push-controller", "presence", "screen-share", "element", "player-element", "publisher-element"]) {
      const code = await readFile(path.join(root, `web/sdk/src/${each}.ts`), "utf8");
      assert.doesNotMatch(code, /\._\w/, `${each}.ts reaches what another build has renamed`);
    }
  }
});

test("the package of the React hooks", { timeout: 60_000 }, async () => {
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", work], { cwd: path.join(root, "web/react"), env });
  const [pack] = JSON.parse(stdout.slice(stdout.indexOf("[\n")));
  const types = "dist/types/react/src/index.d.ts";
  assert.deepEqual(pack.files.map((file) => file.path).filter((name) => !name.includes("/examples/")).sort(),
    ["LICENSE", "README.md", "dist/index.js", "dist/index.js.map", types, "package.json"]);
  const dir = path.join(work, "node_modules/transponder-react");
  await mkdir(dir);
  await run("tar", ["-xzf", path.join(work, pack.filename), "-C", dir, "--strip-components=1"]);
  const code = await readFile(path.join(dir, "dist/index.js"), "utf8");
  assert.deepEqual([...code.matchAll(/from\s*"([^"]+)"/g)].map(([, name]) => name).sort(), ["react", "transponder-sdk/controllers"]);
  const { peerDependencies } = JSON.parse(await readFile(path.join(dir, "package.json"), "utf8"));
  assert.deepEqual(Object.keys(peerDependencies), ["react", "transponder-sdk"]);
  assert.equal(await readFile(path.join(dir, "LICENSE"), "utf8"), await readFile(path.join(root, "LICENSE"), "utf8"));

  const page = await mkdtemp(path.join(work, "hooks-"));
  await writeFile(path.join(page, "page.ts"), `import { usePlayer, usePublisher, usePush } from "transponder-react";
    export const { ref, unmuteRequired } = usePlayer({ name: "show", token: async () => "t" });
    usePublisher({ name: "show" }).start();
    // @ts-expect-error: the name is missing
    void usePush({ rtmpUrl: "rtmp://far.example/live" }).stop();\n`);
  await writeFile(path.join(page, "package.json"), JSON.stringify({ type: "module" }));
  await symlink(fileURLToPath(new URL("node_modules/@types", import.meta.url)), path.join(work, "node_modules/@types"));
  await compile(page, { module: "nodenext" });
});

test("the builds with calls", async () => {
  const sdk = await import(pathToFileURL(inPackage("dist/transponder.js")));
  const withCalls = await import(pathToFileURL(inPackage("dist/transponder-calls.js")));
  const names = [...Object.keys(sdk), "Call", "CALL_STATUS", "CallSession"].sort();
  assert.deepEqual(Object.keys(withCalls).sort(), names);
  assert.equal(withCalls.default, withCalls.Flashphoner);
  assert.equal(withCalls.createSession, withCalls.Flashphoner.createSession);
  assert.equal(withCalls.constants.CALL_STATUS, withCalls.CALL_STATUS);
  const required = createRequire(path.join(work, "page.cjs"))("transponder-sdk/calls");
  assert.deepEqual(Object.keys(required).sort(), names);
  const context = vm.createContext({ TextEncoder, URL, console });
  vm.runInContext(await readFile(inPackage("dist/flashphoner-calls.js"), "utf8"), context);
  assert.deepEqual(Object.keys(context.Flashphoner).sort(), names);
  assert.equal(context.Flashphoner.createSession, context.Flashphoner.Flashphoner.createSession);
  assert.equal(context.Flashphoner.constants.CALL_STATUS.SESSION_PROGRESS, "SESSION_PROGRESS");
  const declared = await readFile(inPackage("dist/call.d.ts"), "utf8");
  const members = await vendorNames(/^ {8}call\.(\w+) = \w+;$/gm);
  assert.ok(members.includes("holdForTransfer") && members.includes("setAudioOutputId"));
  for (const name of members.filter((member) => member !== "on")) {
    assert.match(declared, new RegExp(`^    ${name}\\(`, "m"), name);
  }
});

/** Reads names from the source of the vendor's package, which cannot be loaded without a browser. */
async function vendorNames(pattern) {
  const source = await readFile(new URL("node_modules/@flashphoner/websdk/src/flashphoner-core.js", import.meta.url), "utf8");
  return [...source.matchAll(pattern)].map(([, name]) => name);
}

test("the names of the vendor's package exist", async () => {
  const sdk = await import(pathToFileURL(inPackage("dist/transponder.js")));
  const exported = await vendorNames(/^    (\w+): (?:util\.)?(?:\w+),?$/gm);
  assert.ok(exported.includes("getMobileDevices") && exported.includes("Browser"), exported.join());
  for (const name of exported) {
    assert.notEqual(sdk[name], undefined, name);
    assert.equal(sdk[name], sdk.Flashphoner[name], name);
  }
  assert.equal(sdk.default, sdk.Flashphoner);
  const declared = await readFile(inPackage("dist/stream.d.ts"), "utf8") + await readFile(inPackage("dist/session.d.ts"), "utf8");
  const methods = await vendorNames(/^ {4,8}(?:stream|session)\.(\w+) = \w+;$/gm);
  assert.ok(methods.includes("setMicrophoneGain") && methods.includes("createCall"));
  for (const name of methods.filter((method) => method !== "on")) {
    assert.match(declared, new RegExp(`^    (?:readonly )?${name}\\(`, "m"), name);
  }
});

test("the package can be imported without a browser", async () => {
  const program = `
    delete globalThis.navigator; // Node has it from 21 on
    delete globalThis.WebSocket; // Node has it from 22 on
    const Flashphoner = await import("transponder-sdk");
    const reason = (promise) => promise.then(() => "none", (error) => error.reason);
    const names = Object.keys(Flashphoner.Browser).filter((name) => name.startsWith("is"));
    console.log(JSON.stringify([
      names.length > 10 && names.every((name) => Flashphoner.Browser[name]() === false), Flashphoner.Browser.version(),
      await reason(Flashphoner.getMediaDevices(null, true)), await reason(Flashphoner.init()),
      await reason(Flashphoner.getMediaAccess(null, null)), await reason(Promise.resolve().then(() => Flashphoner.createSession({ urlServer: "ws://localhost" }))),
    ]));`;
  await writeFile(path.join(work, "server.mjs"), program);
  const { stdout } = await run(process.execPath, [path.join(work, "server.mjs")], { cwd: work });
  assert.deepEqual(JSON.parse(stdout), [true, "0", ...Array(4).fill("unsupported_browser")]);
});

// A page of the vendor's SDK in TypeScript, with only the name of the package changed.
const vendorPage = `
import * as Flashphoner from "transponder-sdk";
import { constants, createSession, type CreateStreamOptions, type Session, type Stream } from "transponder-sdk";

const { SESSION_STATUS, STREAM_STATUS } = Flashphoner.constants;
const display = document.getElementById("display") as HTMLElement;
Flashphoner.init({ flashMediaProviderSwfLocation: "media-provider.swf", preferredMediaProviders: ["WebRTC"], logger: { severity: "INFO" } });
Flashphoner.getMediaDevices(undefined, true, constants.MEDIA_DEVICE_KIND.INPUT, { audio: true, video: false })
  .then((list) => list.video.forEach((device) => device.label));
Flashphoner.getMediaAccess({ audio: true, video: { width: 640, height: 480 } }, display, "WebRTC", false).then(() => undefined);
let session: Session = createSession({ urlServer: "wss://host.example", keepAlive: true, flashProto: "rtmp", timeout: 5000 })
  .on(SESSION_STATUS.ESTABLISHED, (session) => start(session)).on(SESSION_STATUS.REGISTERED, () => undefined)
  .on(SESSION_STATUS.INCOMING_CALL, (call: any) => call);
function start(session: Session): void {
  const options: CreateStreamOptions = {
    name: "show", display, mediaProvider: Flashphoner.getMediaProviders()[0], record: false, cacheLocalResources: true,
    receiveVideo: false, receiveAudio: false, disableConstraintsNormalization: true, logger: Flashphoner.getLogger(),
  };
  const stream: Stream = session.createStream(options).on(STREAM_STATUS.PUBLISHING, (stream) => stream.id()).on(STREAM_STATUS.PLAYBACK_PROBLEM, () => undefined);
  stream.publish();
  stream.switchToScreen("screen", true).then(() => stream.switchToCam());
  stream.setMicrophoneGain(50);
  const zoom: number | null = stream.getZoom();
  stream.getStats((stats: any) => stats.outboundStream, false);
  Flashphoner.Browser.isSafariWebRTC() && Flashphoner.playFirstVideo(display, true, "preloader.mp4").then(() => Flashphoner.playFirstSound(true));
  Flashphoner.releaseLocalMedia(display, "WebRTC");
  session.getLogger().info(zoom, stream.getRecordInfo());
}
export default session;
`;

// The same for a page with calls.
const vendorPhone = `
import * as Flashphoner from "transponder-sdk/calls";
import { CALL_STATUS, type Call, type CallSession, constants, createSession } from "transponder-sdk/calls";

const display = document.getElementById("display") as HTMLElement;
const sipOptions = { login: "1000", authenticationName: "1000", password: "1234", domain: "pbx.example", outboundProxy: "pbx.example", port: "5060",
  registerRequired: true };
const session: CallSession = createSession({ urlServer: "wss://host.example", sipOptions })
  .on(Flashphoner.constants.SESSION_STATUS.REGISTERED, (session) => session.id())
  .on(constants.SESSION_STATUS.INCOMING_CALL, (call) => {
    call.on(CALL_STATUS.RING, (call) => call.visibleName() + call.caller());
    call.answer({ localVideoDisplay: display, remoteVideoDisplay: display, receiveVideo: true, constraints: { audio: true, video: true },
      stripCodecs: "SILK", sipSDP: ["b=AS:64"], sipHeaders: [] });
  });
const call: Call = session.createCall({ callee: "1001", visibleName: "Ann", localVideoDisplay: display, remoteVideoDisplay: display,
  constraints: { audio: true, video: true }, receiveAudio: true, receiveVideo: true, cacheLocalResources: false, custom: { a: 1 }, sipSDP: [] });
call.on(CALL_STATUS.ESTABLISHED, () => undefined).on(CALL_STATUS.FINISH, (call) => call.getErrorInfo());
call.call();
call.sendDTMF(1, "INFO");
call.hold();
call.transfer("1002");
call.setVolume(call.getVolume());
call.hangup();
`;

// The names that the snippets use without declaring them.
const told = `
import type * as sdk from "transponder-sdk/calls";
declare global {
  const { Flashphoner, RestApi, SdkError, SESSION_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS }: typeof sdk;
  type Stream = sdk.Stream;
  const session: sdk.Session;
  const stream: sdk.Stream;
  const api: sdk.RestApi;
  const display: HTMLElement;
  const button: HTMLButtonElement;
  const track: MediaStreamTrack;
}
`;

test("the code in the documents compiles", async () => {
  const snippets = [];
  for (const document of ["docs/sdk.md", "docs/elements.md", "web/sdk/README.md"]) {
    const text = await readFile(path.join(root, document), "utf8");
    for (const [, code] of text.matchAll(/```ts\n(.*?)```/gs)) {
      snippets.push(`snippet-${snippets.length}.ts`);
      await writeFile(path.join(work, snippets.at(-1)), `${code}\nexport {};\n`);
    }
  }
  assert.ok(snippets.length > 10);
  await writeFile(path.join(work, "told.d.ts"), told);
  await writeFile(path.join(work, "package.json"), JSON.stringify({ type: "module" }));
  await compile(work, { module: "NodeNext" });
});

for (const [type, module, moduleResolution] of [
  ["module", "node16"], ["commonjs", "node16"], ["module", "nodenext"], ["commonjs", "nodenext"], ["module", "esnext", "bundler"], ["commonjs", "preserve", "bundler"],
]) {
  test(`a page in TypeScript: ${type}, ${moduleResolution ?? module}`, async () => {
    const dir = await mkdtemp(path.join(work, "page-"));
    await writeFile(path.join(dir, "page.ts"), vendorPage);
    await writeFile(path.join(dir, "phone.ts"), `${vendorPhone}\nexport {};\n`);
    await writeFile(path.join(dir, "package.json"), JSON.stringify({ type }));
    await compile(dir, { module, moduleResolution });
  });
}

async function compile(dir, options) {
  await writeFile(path.join(dir, "tsconfig.json"), JSON.stringify({
    compilerOptions: { target: "ES2022", lib: ["ES2023", "DOM", "DOM.Iterable"], types: [], strict: true, noEmit: true, ...options },
    include: ["*.ts"],
  }));
  await run(path.join(bin, "tsc"), ["-p", dir], { cwd: dir }).catch(({ stdout }) => assert.fail(stdout));
}
