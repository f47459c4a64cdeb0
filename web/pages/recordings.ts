// The recordings in this browser's private file system (OPFS): recordings/ID/, with one file for each piece of some seconds. A piece is
// written whole and closed, so a killed tab loses only the piece that was not closed yet. A file that the user picks (showSaveFilePicker)
// cannot do that: it gets its content only when it is closed, at the end of the show.

import { Failure, message } from "./failure.ts";

/** A recording that was found. */
export interface Recording {
  id: string;
  /** The name of the stream. */
  name: string;
  /** ms since 1970 */
  startedAt: number;
  lastsMs: number;
  bytes: number;
  /** It was ended by the page. Otherwise the page was closed, or the browser crashed. */
  whole: boolean;
  /** Each part is a file that plays alone: another one begins with another camera, microphone or quality. */
  parts: Blob[];
}

const folderName = "recordings";
const aboutName = "about.json";

/** What is written at the beginning of a recording, and again with `whole` at its end. */
interface About {
  name: string;
  startedAt: number;
  whole: boolean;
}

export function canKeep(): boolean {
  return "storage" in navigator && "getDirectory" in navigator.storage && "locks" in navigator
    && "FileSystemFileHandle" in globalThis && "createWritable" in FileSystemFileHandle.prototype;
}

/** One recording that is being written. Its methods must be called one after another. */
export class Storage {
  private constructor(private readonly folder: FileSystemDirectoryHandle, private readonly about: About, private readonly unlock: () => void) {}

  static async create(name: string, at: number): Promise<Storage> {
    const id = `${at}-${crypto.randomUUID().slice(0, 8)}`;
    const unlock = await lock(id);
    try {
      const folder = await (await root()).getDirectoryHandle(id, { create: true });
      const storage = new Storage(folder, { name, startedAt: at, whole: false }, unlock);
      await storage.write(aboutName, new Blob([JSON.stringify(storage.about)]));
      return storage;
    } catch (error) {
      unlock();
      throw asFull(error);
    }
  }

  /** Writes one piece of a part. All pieces before it must have been written. */
  async add(part: number, piece: number, content: Blob): Promise<void> {
    await this.write(`${pad(part, 4)}-${pad(piece, 7)}`, content);
  }

  /** The recording is whole. It never fails: if the disk is full, the recording is found as one that was not ended. */
  async close(): Promise<void> {
    await this.write(aboutName, new Blob([JSON.stringify({ ...this.about, whole: true })])).catch(() => undefined);
    this.unlock();
  }

  private async write(name: string, content: Blob): Promise<void> {
    try {
      const file = await (await this.folder.getFileHandle(name, { create: true })).createWritable();
      try {
        await file.write(content);
        await file.close();
      } catch (error) {
        await file.abort().catch(() => undefined);
        throw error;
      }
    } catch (error) {
      throw asFull(error);
    }
  }
}

/** The recordings that no page writes now, the newest first. */
export async function findRecordings(): Promise<Recording[]> {
  const folder = await root();
  const { held = [] } = await navigator.locks.query();
  const found: Recording[] = [];
  for await (const [id, handle] of folder.entries()) {
    if (handle.kind !== "directory" || held.some(({ name }) => name === lockName(id))) {
      continue;
    }
    const recording = await read(id, handle as FileSystemDirectoryHandle).catch(unlessGone);
    if (!recording) {
      continue;
    }
    if (recording.parts.length > 0) {
      found.push(recording);
    } else {
      await removeRecording(id).catch(() => undefined); // it ended before its first piece
    }
  }
  return found.sort((a, b) => b.startedAt - a.startedAt);
}

/** Another page may delete a recording while this one looks. */
function unlessGone(error: unknown): null {
  if (error instanceof DOMException && error.name === "NotFoundError") {
    return null;
  }
  throw error;
}

export async function removeRecording(id: string): Promise<void> {
  await (await root()).removeEntry(id, { recursive: true }).catch(unlessGone);
}

/** How many bytes may still be written; null if the browser does not tell. */
export async function room(): Promise<number | null> {
  const { quota, usage } = await navigator.storage.estimate();
  return quota === undefined || usage === undefined ? null : Math.max(0, quota - usage);
}

async function read(id: string, folder: FileSystemDirectoryHandle): Promise<Recording> {
  const pieces: { name: string; file: File }[] = [];
  let about: About = { name: "", startedAt: Number.parseInt(id, 10) || 0, whole: false };
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind !== "file") {
      continue;
    }
    const file = await (handle as FileSystemFileHandle).getFile();
    if (name === aboutName) {
      about = { ...about, ...await file.text().then((text) => JSON.parse(text) as About).catch(() => null) };
    } else if (/^\d{4}-\d{7}$/.test(name)) {
      pieces.push({ name, file });
    }
  }
  pieces.sort((a, b) => (a.name < b.name ? -1 : 1));
  const parts = new Map<string, File[]>();
  for (const { file, name } of pieces) {
    const part = parts.get(name.slice(0, 4)) ?? [];
    parts.set(name.slice(0, 4), part);
    if (file.size > 0) { // a killed tab leaves an empty file
      part.push(file);
    }
  }
  const full = [...parts.values()].filter((part) => part.length > 0);
  const files = full.flat();
  return {
    id, ...about, bytes: files.reduce((sum, { size }) => sum + size, 0),
    lastsMs: Math.max(0, ...files.map(({ lastModified }) => lastModified - about.startedAt)),
    parts: await Promise.all(full.map(async (part) => new Blob(part, { type: await typeOf(new Blob(part)) }))),
  };
}

/** The type of a part, from its beginning. */
async function typeOf(part: Blob): Promise<string> {
  const start = new Uint8Array(await part.slice(0, 4).arrayBuffer());
  return start[0] === 0x1a && start[1] === 0x45 ? "video/webm" : "video/mp4"; // EBML's magic number
}

async function root(): Promise<FileSystemDirectoryHandle> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(folderName, { create: true });
  } catch (error) {
    throw asFull(error);
  }
}

function lockName(id: string): string {
  return `recording ${id}`;
}

/** Holds a lock that tells other pages that this one writes the recording. The browser releases it when the page goes. */
function lock(id: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks.request(lockName(id), () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}

function asFull(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const full = error instanceof DOMException && error.name === "QuotaExceededError";
  return new Failure(full ? "disk_full" : "recording_failed", full ? "" : message(error));
}

function pad(n: number, digits: number): string {
  return String(n).padStart(digits, "0");
}
