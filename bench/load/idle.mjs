// Holds idle connections open from a small C program: 10,000 handshakes in a few seconds on one core.

import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../processes.mjs';
import { compile } from './compile.mjs';

export function absent(place) {
  return program(place).why ?? null;
}

/** Opens `count` connections; returns `{ opened, alive(), close() }`. */
export async function open(place, port, count) {
  const { client, clientKey } = place.pki;
  const opener = start('load', program(place).path, [String(port), String(count), client, clientKey, '/orders/1']);
  return {
    opened: await said(opener, 'open'),
    alive: () => {
      opener.child.stdin.write('?\n');
      return said(opener, 'alive');
    },
    close: async () => {
      opener.child.stdin.end();
      await opener.ended;
    },
  };
}

async function said(opener, word) {
  for (;;) {
    const found = new RegExp(`^${word} (\\d+)\\n`, 'm').exec(opener.out);
    if (found) return Number(found[1]);
    const ended = await Promise.race([opener.ended, sleep(50, null)]);
    if (ended !== null) throw new Error(`the opener of idle connections ended with ${ended}: ${opener.err}`);
  }
}

function program(place) {
  return compile(place, 'idle.c', '-pthread', '-lssl', '-lcrypto');
}
