// The build for a script tag: everything is a member of the global object Flashphoner.

import * as sdk from "./index.ts";

Object.assign(globalThis, { Flashphoner: { ...sdk, ...sdk.Flashphoner } });
