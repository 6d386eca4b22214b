import type { HttpRequest } from 'uWebSockets.js';

let text = '';

function field(name: string, value: string): void {
  text += `${name}:${value}\n`;
}

/**
 * Copies what uWebSockets.js lends for the length of a handler into one string, as native/engine/src/head.rs reads
 * it. Control characters cannot occur: uWebSockets.js refuses them, so a line break is only ever ours.
 */
export function readHead(req: HttpRequest, method: string): string {
  const query = req.getQuery();
  text = query ? `${method} ${req.getUrl()}?${query}\n` : `${method} ${req.getUrl()}\n`;
  req.forEach(field);
  return text;
}
