// The corpus of the positive model (test/corpus/schema/model): descriptions with requests and responses, and what
// becomes of each.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { parse } from 'yaml';

const FOLDER = join(import.meta.dirname, '../corpus/schema/model');

const KEYS = new Set(
  'name request fields json body base64 times coded response verdict errors logged operation allow stripped ajv'.split(
    ' ',
  ),
);

export interface Model {
  /** The file's name: the host that has this description. */
  host: string;
  /** Of the host's configuration; `file` names the description unless `documents` are written. */
  openapi: Record<string, unknown>;
  /** The whole description. */
  description: Description;
  /** Files beside the description, by their names: what it refers to, further documents. */
  files: Record<string, object>;
  cases: Case[];
}

export interface Description {
  openapi?: string;
  paths: Record<string, Record<string, unknown>>;
  components?: unknown;
}

/** A body, in one of several ways of writing it. */
export interface Written {
  body?: string;
  /** As a JSON text of media type application/json. */
  json?: unknown;
  /** Bytes that are no text. */
  base64?: string;
  /** So many times over. */
  times?: number;
  /** The content codings that it gets, which the head then names. */
  coded?: ('gzip' | 'deflate' | 'br')[];
  /** In order; those of one name are written one below the other. */
  fields?: Record<string, string | string[]>;
}

export interface Case extends Written {
  name: string;
  /** Method and target. */
  request: string;
  /** What the origin answers; 200 without a body when it does not matter. */
  response?: Written & { status?: number; chunked?: boolean };
  /** `pass`, or a reason. */
  verdict: string;
  /** `location pointer class` of every error, in any order. */
  errors?: string[];
  /** Reasons that are recorded and let through, in order. */
  logged?: string[];
  /** Which operation it is: `operationId`, or `METHOD /template`. */
  operation?: string;
  /** The field of a 405. */
  allow?: string;
  /** The response's body as the client gets it, when members are taken out. */
  stripped?: string;
  /** Why ajv, given the same schema and body, says something else. */
  ajv?: string;
}

export const models: Model[] = readdirSync(FOLDER)
  .filter(file => file.endsWith('.yaml'))
  .map(file => {
    const { openapi = {}, description, files = {}, cases } = parse(readFileSync(join(FOLDER, file), 'utf8'));
    for (const one of cases) checkKeys(`${file}: ${one.name}`, one);
    return { host: file.replace('.yaml', '.test'), openapi, description: whole(description), files, cases };
  });

/** A comma in a name that has no quotes around it makes a key of what follows. */
function checkKeys(where: string, one: object): void {
  for (const key of Object.keys(one)) if (!KEYS.has(key)) throw new Error(`${where}: a case has no \`${key}\``);
}

function whole(description: Description): Description {
  const said = { info: { title: 'A model', version: '1' }, ...description };
  if (!('swagger' in said)) said.openapi ??= '3.1.0';
  return said;
}

const CODINGS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };

export function bodyOf({ body, json, base64, times = 1, coded = [] }: Written): Buffer {
  const text = json === undefined ? body : JSON.stringify(json);
  const once = base64 === undefined ? Buffer.from(text ?? '') : Buffer.from(base64, 'base64');
  const bytes = Buffer.concat(Array(times).fill(once));
  return coded.reduce((bytes, coding) => CODINGS[coding](bytes), bytes);
}

/** The fields that are written, behind those that the way of writing the body stands for; names in lower case. */
export function fieldsOf({ json, coded, fields = {} }: Written): [name: string, value: string][] {
  const all = {
    ...(json !== undefined && { 'content-type': 'application/json' }),
    ...(coded && { 'content-encoding': coded.join(', ') }),
    ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value])),
  };
  return Object.entries(all).flatMap(([name, values]) =>
    [values].flat().map((value): [string, string] => [name, value]),
  );
}
