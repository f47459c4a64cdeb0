/** The settings that the server tells its pages. A port is 0 if the server does not listen on it. */
export interface Config {
  version: string;
  rtmpPort: number;
  httpsPort: number;
  /** The prefix of the stream's name at an RTMP server. Absent if the server did not tell it. */
  namePrefix?: string;
}

/** Reads the server's answer. Ports that are missing get their usual values. */
export function parseConfig(value: unknown): Config {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof Config, unknown>>;
  const port = (given: unknown, usual: number): number => (typeof given === "number" ? given : usual);
  return {
    version: typeof fields.version === "string" ? fields.version : "",
    rtmpPort: port(fields.rtmpPort, 1935),
    httpsPort: port(fields.httpsPort, 8444),
    ...(typeof fields.namePrefix === "string" ? { namePrefix: fields.namePrefix } : {}),
  };
}

/** Asks the server. A page works with the usual values if there is no answer. */
export async function loadConfig(): Promise<Config> {
  try {
    const response = await fetch("/config.json");
    return parseConfig(response.ok ? await response.json() : null);
  } catch {
    return parseConfig(null);
  }
}
