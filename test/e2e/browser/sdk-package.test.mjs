// What `npm pack` makes of the SDK: it holds what it should, both builds work, and the code of its documents is right against
// its types.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
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

/** Installs the package as npm does, without asking a registry. */
before(async () => {
  work = await mkdtemp(path.join(tmpdir(), "sdk-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", work], { cwd: path.join(root, "web/sdk"), env });
  const [pack] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))); // what prepack prints comes before
  files = pack.files.map((file) => file.path).sort();
  await mkdir(path.join(work, "node_modules/transponder-sdk"), { recursive: true });
  await run("tar", ["-xzf", path.join(work, pack.filename), "-C", path.join(work, "node_modules/transponder-sdk"), "--strip-components=1"]);
}, { timeout: 180_000 });
after(() => rm(work, { recursive: true, force: true }));

const inPackage = (name) => path.join(work, "node_modules/transponder-sdk", name);

test("what is in it", async () => {
  for (const wanted of ["LICENSE", "README.md", "package.json", "dist/transponder.js", "dist/flashphoner.js", "dist/index.d.ts"]) {
    assert.ok(files.includes(wanted), `${wanted} is in ${files}`);
  }
  assert.deepEqual(files.filter((name) => !/^(LICENSE|README\.md|package\.json|dist\/[\w-]+\.(d\.ts|js))$/.test(name)), []);
  const { dependencies, exports, types } = JSON.parse(await readFile(inPackage("package.json"), "utf8"));
  assert.equal(dependencies, undefined);
  for (const name of [types, exports["."].types, exports["."].default, exports["./flashphoner.js"]]) {
    assert.ok(files.includes(name.slice(2)), name);
  }
  assert.equal(await readFile(inPackage("LICENSE"), "utf8"), await readFile(path.join(root, "LICENSE"), "utf8"));
});

test("both builds", async () => {
  const sdk = await import(pathToFileURL(inPackage("dist/transponder.js")));
  assert.equal(typeof sdk.Flashphoner.createSession, "function");
  const context = vm.createContext({});
  vm.runInContext(await readFile(inPackage("dist/flashphoner.js"), "utf8"), context);
  const { Flashphoner } = context;
  assert.deepEqual(Object.keys(Flashphoner.constants).sort(), ["CONNECTION_QUALITY", "CONTENT_HINT_TYPE", "ERROR_INFO", "MEDIA_DEVICE_KIND",
    "SESSION_STATUS", "STREAM_EVENT", "STREAM_EVENT_TYPE", "STREAM_STATUS", "STREAM_STATUS_INFO", "TRANSPORT_TYPE"]);
  for (const name of ["init", "createSession", "getSessions", "getSession", "getMediaDevices", "getMediaAccess", "releaseLocalMedia",
    "getMediaProviders", "playFirstVideo", "playFirstSound", "RestApi", "SdkError"]) {
    assert.equal(typeof Flashphoner[name], "function", name);
  }
});

// What the snippets speak of without saying where it comes from.
const told = `
import type * as sdk from "transponder-sdk";
declare global {
  const { Flashphoner, RestApi, SdkError, SESSION_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS }: typeof sdk;
  const session: sdk.Session;
  const stream: sdk.Stream;
  const api: sdk.RestApi;
  const display: HTMLElement;
  const button: HTMLButtonElement;
}
`;

test("the code of the documents", async () => {
  const snippets = [];
  for (const document of ["docs/sdk.md", "web/sdk/README.md"]) {
    const text = await readFile(path.join(root, document), "utf8");
    for (const [, code] of text.matchAll(/```ts\n(.*?)```/gs)) {
      snippets.push(`snippet-${snippets.length}.ts`);
      await writeFile(path.join(work, snippets.at(-1)), `${code}\nexport {};\n`);
    }
  }
  assert.ok(snippets.length > 10);
  await writeFile(path.join(work, "told.d.ts"), told);
  await writeFile(path.join(work, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(path.join(work, "tsconfig.json"), JSON.stringify({
    compilerOptions: {
      target: "ES2022", module: "NodeNext", lib: ["ES2023", "DOM", "DOM.Iterable"], types: [], strict: true, noEmit: true,
    },
    include: ["*.ts"],
  }));
  await run(path.join(bin, "tsc"), ["-p", work], { cwd: work }).catch(({ stdout }) => assert.fail(stdout));
});
