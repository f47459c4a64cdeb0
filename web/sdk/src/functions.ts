// The functions of Flashphoner as exports of the module, for `import * as Flashphoner`, which pages of the vendor's SDK say.

import { Flashphoner } from "./flashphoner.ts";

export const {
  init, createSession, getSessions, getSession, getMediaProviders, getMediaDevices, getMobileDevices, getMediaAccess,
  releaseLocalMedia, playFirstSound, playFirstVideo, getLogger, isUsingTemasys, firefoxScreenSharingExtensionInstalled, constants, Browser,
} = Flashphoner;
