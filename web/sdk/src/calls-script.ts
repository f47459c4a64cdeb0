// The build with calls for a script tag: everything that the module exports is a member of the global object Flashphoner.

import { Call, CALL_STATUS, CallSession, Flashphoner } from "./calls.ts";
import "./script.ts";

Object.assign((globalThis as any).Flashphoner, Flashphoner, { CALL_STATUS, default: Flashphoner, Flashphoner, Call, CallSession });
