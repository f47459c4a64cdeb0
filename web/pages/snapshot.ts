import { inTime } from "./http.ts";
import type { Rest } from "./rest.ts";

/** How long a picture may take: the publisher's next key frame may be some seconds away. */
const snapshotMs = 12_000;

/** A picture of a stream as it looks now, as a data: URL. The policy of the pages allows no address of an object. */
export async function snapshot(rest: Rest, name: string, signal: AbortSignal): Promise<string> {
  return asDataUrl(await inTime(snapshotMs, signal, (either) =>
    rest._request(`/stream/snapshot?${new URLSearchParams({ name })}`, { signal: either }, (response) => response.blob())));
}

function asDataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
