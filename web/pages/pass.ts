import { Failure } from "./failure.ts";
import { Fields, type Rest } from "./rest.ts";

/** Asks the server for a token that may play one stream. It begins sessions for so many seconds. */
export async function askPass(rest: Rest, stream: string, seconds: number): Promise<string> {
  const token = new Fields(await rest.ask("/token/create", { grants: [{ actions: ["play"], streams: [stream] }], expiresIn: seconds })).text("token");
  if (token === "") {
    throw new Failure("server_error", "the answer has no token");
  }
  return token;
}
