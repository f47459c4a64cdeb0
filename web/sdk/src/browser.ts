const agent = (): string => globalThis.navigator?.userAgent ?? ""; // there is no navigator where a server renders the page
const has = (pattern: RegExp): boolean => pattern.test(agent());

/** Guesses the browser from its user agent, as the vendor's SDK does. It is better to test for a feature. */
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
