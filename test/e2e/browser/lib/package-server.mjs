// The official Web SDK's npm package, served as it comes.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const mediaTypes = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".png": "image/png" };
const root = path.dirname(createRequire(import.meta.url).resolve("@flashphoner/websdk/package.json"));
const modules = path.dirname(path.dirname(path.dirname(root))) + "/node_modules";

/** Serves the package on a free port of localhost, where browsers allow the camera, with the modules beside it. */
export async function servePackage() {
  const server = createServer(async (request, response) => {
    if (request.url === "/favicon.ico") {
      response.writeHead(204).end(); // the browser asks for it, the package has none
      return;
    }
    const wanted = path.normalize(new URL(request.url, "http://localhost").pathname);
    const name = wanted.startsWith("/node_modules/") ? path.join(modules, wanted.slice("/node_modules".length)) : path.join(root, wanted);
    if (!(await stat(name).catch(() => null))?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("Content-Type", mediaTypes[path.extname(name)] ?? "application/octet-stream");
    createReadStream(name).pipe(response);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}`;
}
