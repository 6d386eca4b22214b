// What can be meant as it was written, and may all the same be a mistake: it is taken, and told.

import type { Store } from '../store/open.js';
import type { PartnerRow } from './partners.js';
import { patternsOf } from './shapes.js';

/** What is served, and by which names. */
export interface Surroundings {
  hosts(): readonly { name: string; operations: readonly { id: string; method: string; path: string }[] }[];
  /** Names of all authorities, of the configuration and of the store. */
  authorities(): Promise<string[]>;
  /** Names of the token configurations. */
  configurations(): readonly string[];
}

export async function doubtsOf(row: PartnerRow, surroundings: Surroundings): Promise<string[]> {
  const { certificates, tokens } = patternsOf(row);
  const operations = JSON.parse(row.operations) as string[];
  const [authorities, configurations] = [await surroundings.authorities(), surroundings.configurations()];
  const doubts: string[] = [];
  for (const name of new Set(certificates.flatMap(({ authority }) => authority ?? []))) {
    if (!authorities.includes(name)) doubts.push(`No authority is called ${name}: nothing fits until there is one.`);
  }
  if (certificates.some(({ authority, fingerprint }) => authority === undefined && fingerprint === undefined)) {
    doubts.push('A subject or name without `authority` counts whichever authority says it: name the one you mean.');
  }
  for (const name of new Set(tokens.flatMap(({ configuration }) => configuration ?? []))) {
    if (!configurations.includes(name)) doubts.push(`No token configuration is called ${name}.`);
  }
  if (tokens.some(({ configuration }) => configuration === undefined)) {
    doubts.push('A claim without `configuration` counts whichever issuer says it: name the one you mean.');
  }
  const described = new Set(
    surroundings
      .hosts()
      .flatMap(({ name, operations }) =>
        operations.flatMap(({ id, method, path }) => [id, `${method} ${path}`, `${name} ${method} ${path}`]),
      ),
  );
  for (const operation of operations) {
    if (!described.has(operation)) doubts.push(`No operation ${operation} is described.`);
  }
  return doubts;
}

/** Of a partner that was just made: the word on certificates that were issued before was nobody until now. */
export async function inherited(store: Store, name: string, now: number): Promise<string[]> {
  const { count } = await store.db
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('partner', '=', name)
    .where('not_after', '>', now)
    .executeTakeFirstOrThrow();
  const found = Number(count);
  if (found === 0) return [];
  return [`Certificates that were issued with this word are its own from now on: ${found}.`];
}
