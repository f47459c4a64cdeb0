// Makes a key of each type and a token signed with it, as an application server with nothing but Node would. Prints {jwks, tokens}.
import { createSign, generateKeyPairSync, sign } from "node:crypto";

const b64 = (value) => Buffer.from(value).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const content = {
  iss: "studio", aud: "transponder", sub: "ann", jti: "one", iat: now, exp: now + 600,
  transponder: { v: 1, grants: [{ actions: ["publish"], streams: ["cam-*"] }] },
};
const kinds = [
  ["ES256", "ec", { namedCurve: "P-256" }, (text, key) => createSign("sha256").update(text).sign({ key, dsaEncoding: "ieee-p1363" })],
  ["EdDSA", "ed25519", {}, (text, key) => sign(null, Buffer.from(text), key)],
  ["RS256", "rsa", { modulusLength: 2048 }, (text, key) => createSign("sha256").update(text).sign(key)],
];
const keys = [];
const tokens = {};
for (const [alg, type, options, signature] of kinds) {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  keys.push({ ...publicKey.export({ format: "jwk" }), kid: `node-${alg}`, use: "sig", alg });
  const text = `${b64(JSON.stringify({ alg, typ: "JWT", kid: `node-${alg}` }))}.${b64(JSON.stringify(content))}`;
  tokens[alg] = `${text}.${b64(signature(text, privateKey))}`;
}
console.log(JSON.stringify({ jwks: { keys }, tokens }));
