import { Failure } from "./failure.ts";
import { inTime, patienceMs } from "./http.ts";
import { asList, Fields, type Rest } from "./rest.ts";

/** A sound or a picture in the server's media folder. */
export interface MediaFile {
  name: string;
  kind: "sound" | "picture";
  bytes: number;
  durationMs: number;
  width: number;
  height: number;
  /** Why it can be neither played nor shown; "": it can. */
  fault: string;
}

export interface MediaList {
  files: MediaFile[];
  /** The folder has others, too. */
  more: boolean;
  /** The person at the page may upload and remove. */
  change: boolean;
}

/** The most bytes that the server takes. */
export const maxBytes = 100 * 1024 * 1024;

/** How long the server waits for a file. */
const uploadMs = 600_000;

/** The media methods of the REST API. Every error is a Failure. */
export class MediaClient {
  constructor(private readonly rest: Rest) {}

  async list(): Promise<MediaList> {
    const answer = new Fields(await this.rest.ask("/media/find_all", {}, patienceMs.slow));
    return { files: asList(answer.value("files")).map(parseFile), more: answer.flag("more"), change: answer.flag("change") };
  }

  /** The bytes of a file. */
  content(name: string, signal: AbortSignal): Promise<Blob> {
    const path = `/media/download?${new URLSearchParams({ name })}`;
    return inTime(uploadMs, signal, (either) => this.rest._request(path, { signal: either }, (response) => response.blob()));
  }

  /** Sends a file. The Failure "conflict" means that there is one with this name. */
  async upload(file: File, replace: boolean): Promise<void> {
    const path = `/media/upload?${new URLSearchParams({ name: file.name, replace: String(replace) })}`;
    const headers = { "Content-Type": "application/octet-stream" };
    await inTime(uploadMs, undefined, (signal) => this.rest._request(path, { method: "POST", headers, body: file, signal }, (response) => response.text()));
  }

  remove(name: string): Promise<void> {
    return this.rest.tell("/media/remove", { name });
  }
}

function parseFile(value: unknown): MediaFile {
  const fields = new Fields(value);
  const name = fields.text("name");
  if (name === "") {
    throw new Failure("server_error", "the answer names no file");
  }
  return {
    name,
    kind: fields.text("kind") === "picture" ? "picture" : "sound",
    bytes: fields.number("bytes") ?? 0,
    durationMs: fields.number("durationMs") ?? 0,
    width: fields.number("width") ?? 0,
    height: fields.number("height") ?? 0,
    fault: fields.text("fault"),
  };
}
