// What a configuration asks of the machine it is loaded on.

import { lookup } from 'node:dns/promises';
import type { Lookups } from './load.js';

export const systemLookups: Lookups = {
  env: process.env,
  // IPv4 first, so that the order does not change with the resolver's mood.
  resolve: async name => {
    const found = await lookup(name, { all: true });
    return found.sort((a, b) => a.family - b.family || (a.address < b.address ? -1 : 1)).map(({ address }) => address);
  },
};
