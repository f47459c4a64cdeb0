/** Makes a unique id. Browsers have crypto.randomUUID only for pages by https. */
export function randomId(): string {
  return "00000000-0000-0000-0000-000000000000".replace(/0/g, () => (crypto.getRandomValues(new Uint8Array(1))[0]! % 16).toString(16));
}
