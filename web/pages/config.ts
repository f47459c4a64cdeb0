/** What the server says about itself to its page. A port is 0 where the server does not listen. */
export interface Config {
  version: string;
  rtmpPort: number;
  httpsPort: number;
  /** The REST API asks for a name and a password. */
  restAuth: boolean;
  /** What the server puts before a stream's name at an RTMP server. Absent: it has not said. */
  namePrefix?: string;
}

/** Reads the server's answer; the usual ports stand in for what it does not say. */
export function parseConfig(value: unknown): Config {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof Config, unknown>>;
  const port = (given: unknown, usual: number): number => (typeof given === "number" ? given : usual);
  return {
    version: typeof fields.version === "string" ? fields.version : "",
    rtmpPort: port(fields.rtmpPort, 1935),
    httpsPort: port(fields.httpsPort, 8444),
    restAuth: fields.restAuth === true,
    ...(typeof fields.namePrefix === "string" ? { namePrefix: fields.namePrefix } : {}),
  };
}

/** Asks the server; a page must work even where the answer is lost. */
export async function loadConfig(): Promise<Config> {
  try {
    const response = await fetch("/config.json");
    return parseConfig(response.ok ? await response.json() : null);
  } catch {
    return parseConfig(null);
  }
}
