// Names in certificates, as they are typed.

import { usage } from '../fault.js';

const KINDS = ['dns', 'email', 'uri', 'ip'] as const;
type Kind = (typeof KINDS)[number];

/** For commander: an option that may be given several times, or with commas between. */
export function collect(value: string, before: readonly string[]): string[] {
  return [
    ...before,
    ...value
      .split(',')
      .map(one => one.trim())
      .filter(Boolean),
  ];
}

/** `dns:example.com` */
export function namesOf(written: readonly string[]): Partial<Record<Kind, string[]>> {
  const names: Partial<Record<Kind, string[]>> = {};
  for (const one of written) {
    const [, kind, name] = /^(\w+):(.+)$/.exec(one) ?? [];
    if (!KINDS.includes(kind as Kind) || name === undefined) {
      throw usage(`\`${one}\` is no name`, `such as dns:example.com; kinds are ${KINDS.join(', ')}`);
    }
    names[kind as Kind] = [...(names[kind as Kind] ?? []), name];
  }
  return names;
}
