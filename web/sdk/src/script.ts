// The build for a script tag: everything that the module exports is a member of the global object Flashphoner.

import { Flashphoner, Push, reasons, RestApi, SdkError, Session, Stream } from "./index.ts";

// A list, because esbuild makes a larger bundle of `import *`. A test compares the list with the exports of the module.
Object.assign(globalThis, {
  Flashphoner: {
    ...Flashphoner, ...Flashphoner.constants, default: Flashphoner, Flashphoner, Push, reasons, RestApi, SdkError, Session, Stream,
  },
});
