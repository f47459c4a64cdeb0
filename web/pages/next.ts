/** The address to go to after somebody has signed in: the parameter `next`, if it is a path of this server; otherwise the console. */
export function nextPage(search: string, origin: string): string {
  const usual = "/console";
  const wish = new URLSearchParams(search).get("next") ?? "";
  // Browsers take a backslash for a slash, and // for the beginning of another host.
  if (!/^\/(?![/\\])/.test(wish) || /[\\\u0000-\u0020\u007f]/.test(wish)) {
    return usual;
  }
  let url: URL;
  try {
    url = new URL(wish, origin);
  } catch {
    return usual;
  }
  const back = url.pathname === "/login" || url.pathname === "/login.html"; // the page that asks
  const other = url.pathname.startsWith("//"); // as /..//host becomes
  return url.origin === origin && !back && !other ? url.pathname + url.search + url.hash : usual;
}
