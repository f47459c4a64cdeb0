const agent = (): string => globalThis.navigator?.userAgent ?? ""; // pages are rendered by servers, too
const has = (pattern: RegExp): boolean => pattern.test(agent());

/** Guesses what browser this is by what it says of itself, as the vendor's SDK does. Ask for features instead. */
export const Browser = {
  isIE: (): boolean => false,
  isEdge: (): boolean => false,
  isFirefox: (): boolean => has(/Firefox\//),
  isChrome: (): boolean => has(/Chrome\//) && !has(/OPR\/|Edg\/|SamsungBrowser/),
  isOpera: (): boolean => has(/ OPR\//),
  isChromiumEdge: (): boolean => has(/Edg\//),
  isSamsungBrowser: (): boolean => has(/SamsungBrowser/),
  isiOS: (): boolean => has(/iPad|iPhone|iPod/),
  isAndroid: (): boolean => has(/Android/),
  isAndroidFirefox: (): boolean => has(/Android.*Firefox/),
  isSafari: (): boolean => has(/AppleWebKit/) && !has(/Chrome|Chromium|Android/),
  isSafariWebRTC: (): boolean => Browser.isSafari() && navigator.mediaDevices !== undefined,
  version: (): string => /(?:Version|OPR|Edg|SamsungBrowser|Chrome|Firefox)\/(\d+)/.exec(agent())?.[1] ?? "0",
};
