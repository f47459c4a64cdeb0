// The server's clock, as its answers tell it. The clock of a browser can be wrong by hours, and what the server tells must not become wrong with it.

/** Answers tell whole seconds, and take some time themselves: a smaller difference means nothing. */
const meansNothingMs = 2000;

let aheadMs = 0;

/** Takes the Date header of an answer. */
export function heardDate(header: string | null): void {
  const told = Date.parse(header ?? "");
  if (Math.abs(told - serverNow()) > meansNothingMs) { // not if there is no such header
    aheadMs = told - Date.now();
  }
}

/** The server's time, in ms since 1970. */
export function serverNow(): number {
  return Date.now() + aheadMs;
}
