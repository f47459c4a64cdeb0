// The functions of Flashphoner as exports of the module. Pages of the vendor's SDK use them by `import * as Flashphoner`.

import { Flashphoner } from "./flashphoner.ts";

export const {
  init, createSession, getSessions, getSession, getMediaProviders, getMediaDevices, getMobileDevices, getMediaAccess,
  releaseLocalMedia, playFirstSound, playFirstVideo, getLogger, isUsingTemasys, firefoxScreenSharingExtensionInstalled, constants, Browser,
} = Flashphoner;
