/** Adds format parameters (a=fmtp) to each payload type of the codecs. */
export function addFormat(sdp: string, codecs: string[], parameters: string): string {
  const wanted = codecs.map((codec) => codec.toLowerCase());
  const types = [...sdp.matchAll(/^a=rtpmap:(\d+) ([^/\s]+)\//gm)]
    .filter(([, , codec]) => wanted.includes(codec?.toLowerCase() ?? ""))
    .map(([, type]) => type);
  for (const type of types) {
    const line = new RegExp(`^a=fmtp:${type} .*`, "m"); // a dot matches neither \r nor \n
    sdp = line.test(sdp) ? sdp.replace(line, `$&;${parameters}`)
      : sdp.replace(new RegExp(`^a=rtpmap:${type} .*`, "m"), `$&\r\na=fmtp:${type} ${parameters}`);
  }
  return sdp;
}
