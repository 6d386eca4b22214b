// Profiles: what a certificate says, decided here and never by the request. What a request asks for beyond its profile
// is refused, or left out and told when the caller wants it so.

import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import type { KeyType, Request, Subject } from './commands.js';
import { lifetime, milliseconds } from './lifetime.js';
import {
  type AlternativeNames,
  besideName,
  defined,
  fill,
  KINDS,
  matches,
  type NameKind,
  NO_NAMES,
  namePatterns,
  told,
} from './names.js';

export const KEY_TYPES = ['P-256', 'P-384', 'Ed25519', 'RSA 3072', 'RSA 4096'] as const satisfies readonly KeyType[];

/** Longest life of a certificate: what devices that are never visited need. */
const LONGEST = '10y';
const MAX_PROFILES = 50;

export const profileName = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, {
  error: 'is no name of a profile: lower-case letters, digits and `-`, at most 40',
});

export const profile = z
  .strictObject({
    validity: lifetime('1h', LONGEST)
      .default('90d')
      .describe('How long a certificate is good for unless asked otherwise.'),
    max_validity: lifetime('1h', LONGEST).default('365d').describe('The longest that may be asked for.'),
    usages: z
      .array(z.enum(['clientAuth', 'serverAuth', 'emailProtection', 'codeSigning']))
      .min(1)
      .default(['clientAuth'])
      .describe('Extended key usages. Nothing but `clientAuth` unless listed.'),
    key_types: z
      .array(z.string().regex(/^(P-256|P-384|P-521|Ed25519|RSA \d{4})$/))
      .max(20)
      .optional()
      .describe('Kinds of keys that certification requests may bring; any that is strong enough unless given.'),
    subject: z.strictObject(besideName).prefault({}).describe('What stands in the subject beside the name.'),
    names: namePatterns
      .prefault({})
      .describe('Alternative names that whoever issues may ask for: patterns with `*` and `{name}`.'),
    requested: namePatterns
      .prefault({})
      .describe(
        'Alternative names that are taken over from a certification request, if it holds them; others are refused.',
      ),
    always: namePatterns
      .prefault({})
      .describe('Alternative names that every certificate gets, with `{name}`: `spiffe://example.org/{name}`.'),
  })
  .refine(({ validity, max_validity }) => milliseconds(validity) <= milliseconds(max_validity), {
    error: 'is longer than max_validity',
    path: ['validity'],
  });

export type Profile = z.output<typeof profile>;

export const profiles = z
  .record(profileName, profile)
  .refine(all => Object.keys(all).length <= MAX_PROFILES, { error: `are more than ${MAX_PROFILES}` });

const ANY = { dns: ['*'], email: ['*'], uri: ['*'], ip: ['*'] };
/** A request may name itself, nobody else. */
const ITSELF = { dns: ['{name}'], email: ['{name}'] };

/** There without being written, until an authority has its own of that name. */
export const BUILT_IN: Readonly<Record<string, Profile>> = {
  client: profile.parse({ names: ANY, requested: ITSELF }),
  device: profile.parse({ validity: '2y', max_validity: LONGEST, names: ANY, requested: ITSELF }),
};

export function profileOf(own: Record<string, Profile>, name: string, authority: string): Profile {
  const found = Object.hasOwn(own, name) ? own[name] : Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name] : undefined;
  if (found) return found;
  const known = [...new Set([...Object.keys(BUILT_IN), ...Object.keys(own)])].join(', ');
  throw new Refusal(422, `The authority ${authority} has no profile ${name}.`, `Profiles: ${known}.`);
}

/** What is asked for by who issues, and by the device's own request. */
export interface Wanted {
  name: string;
  names: AlternativeNames;
  csr: Request | null;
  /** What the request asks for beyond the profile is left out instead of refused. */
  allow_dropping: boolean;
}

export interface Decided {
  subject: Subject;
  names: AlternativeNames;
  /** What the request asked for and did not get. */
  dropped: string[];
}

/** Throws a Refusal that names everything that is not allowed. */
export function decide(profile: Profile, profileName: string, wanted: Wanted): Decided {
  const { name, csr } = wanted;
  const subject = subjectOf(profile, name);
  const refused = told(without(profile.names, wanted.names, name));
  if (refused.length > 0) {
    const allowed = told(profile.names).join(', ') || 'none';
    throw new Refusal(422, `The profile ${profileName} does not allow ${list(refused)}.`, `It allows: ${allowed}.`);
  }
  const names = merged(always(profile, profileName, name), wanted.names);
  if (!csr) return { subject, names, dropped: [] };
  const others = without(profile.requested, without(exactly(names), csr, ''), name);
  const dropped = [
    ...otherAttributes(csr, subject),
    ...told(others),
    ...csr.other_names,
    ...csr.eku.filter(usage => !(profile.usages as string[]).includes(usage)).map(usage => `usage ${usage}`),
    ...otherExtensions(csr),
  ];
  refuseKeyType(profile, profileName, csr.key_type);
  if (dropped.length > 0 && !wanted.allow_dropping) {
    throw new Refusal(
      422,
      `The certification request asks for more than the profile ${profileName} gives: ${list(dropped)}.`,
      'Make the request without it, list it in the profile (`requested`), or set allow_dropping to leave it out.',
    );
  }
  return { subject, names: merged(names, minus(csr, others)), dropped };
}

export function refuseKeyType({ key_types }: Profile, profileName: string, type: string): void {
  if (!key_types || key_types.includes(type)) return;
  throw new Refusal(
    422,
    `The profile ${profileName} does not allow a key of the kind ${type}.`,
    `It allows: ${key_types.join(', ')}.`,
  );
}

function subjectOf({ subject }: Profile, name: string): Subject {
  return { common_name: name, ...defined(subject) };
}

function always(profile: Profile, profileName: string, name: string): AlternativeNames {
  return each((kind): string[] =>
    profile.always[kind].map(template => {
      const filled = fill(kind, template, name);
      if (filled !== null) return filled;
      throw new Refusal(
        422,
        `The name ${JSON.stringify(name)} cannot stand in ${kind}:${template} of the profile ${profileName}.`,
        'Take a name of letters, digits, `-` and `_`, or another profile.',
      );
    }),
  );
}

/** Those that no pattern speaks of. A wildcard would speak of others than who holds the certificate. */
function without(patterns: AlternativeNames, names: AlternativeNames, name: string): AlternativeNames {
  return each(kind =>
    names[kind].filter(
      value =>
        (kind === 'dns' && value.includes('*')) || !patterns[kind].some(pattern => matches(kind, pattern, value, name)),
    ),
  );
}

/** Names as patterns that mean nothing but themselves. */
function exactly(names: AlternativeNames): AlternativeNames {
  return each(kind => names[kind].filter(name => !name.includes('*') && !name.includes('{')));
}

function merged(first: AlternativeNames, second: AlternativeNames): AlternativeNames {
  return each(kind => [...new Set([...first[kind], ...second[kind]])]);
}

function minus(names: AlternativeNames, others: AlternativeNames): AlternativeNames {
  return each(kind => names[kind].filter(name => !others[kind].includes(name)));
}

function each(act: (kind: NameKind) => string[]): AlternativeNames {
  return { ...NO_NAMES, ...Object.fromEntries(KINDS.map(kind => [kind, act(kind)])) };
}

const ATTRIBUTES: Record<string, keyof Subject> = {
  CN: 'common_name',
  O: 'organization',
  OU: 'organizational_unit',
  C: 'country',
};

/** Of the request's subject, what the certificate's does not say too. */
function otherAttributes(csr: Request, subject: Subject): string[] {
  // RFC 4514: attributes are separated by commas and pluses that no backslash stands before.
  const kinds = [...csr.subject_text.matchAll(/(?:^|(?<!\\)(?:\\\\)*[,+])([A-Za-z0-9.]+)=/g)].map(
    match => match[1] ?? '',
  );
  return kinds.flatMap(kind => {
    const key = ATTRIBUTES[kind];
    const value = key && csr.subject[key];
    if (key === undefined || kinds.indexOf(kind) !== kinds.lastIndexOf(kind)) return [`subject ${kind}`];
    return value === undefined || value === subject[key] ? [] : [`subject ${kind}=${value}`];
  });
}

/**
 * Extensions that are decided by the profile alone, and that common tools put into any request: key usage, basic
 * constraints, extended key usage, subject key identifier. Alternative names are looked at one by one.
 */
const DECIDED_HERE = new Set(['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37', '2.5.29.14']);

function otherExtensions({ extensions }: Request): string[] {
  return [...new Set(extensions)].filter(id => !DECIDED_HERE.has(id)).map(id => `extension ${id}`);
}

const LISTED = 10;

function list(names: string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
  return names.slice(0, LISTED).join(', ') + more;
}
