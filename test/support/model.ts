// The corpus of the positive model (test/corpus/schema/model): descriptions with requests and responses, and what
// becomes of each.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const FOLDER = join(import.meta.dirname, '../corpus/schema/model');

export interface Model {
  /** The file's name: the host that has this description. */
  host: string;
  /** Of the host's configuration, beside `file`. */
  openapi: Record<string, unknown>;
  /** The whole description. */
  description: Description;
  cases: Case[];
}

export interface Description {
  openapi?: string;
  paths: Record<string, Record<string, unknown>>;
  components?: unknown;
}

export interface Case {
  name: string;
  /** Method and target. */
  request: string;
  fields?: Record<string, string>;
  body?: string;
  /** In place of `body`, for bytes that are no text. */
  base64?: string;
  /** What the origin answers; 200 without a body when it does not matter. */
  response?: { status?: number; fields?: Record<string, string>; body?: string };
  /** `pass`, or a reason. */
  verdict: string;
  /** `location pointer class` of every error, in order. */
  errors?: string[];
  /** The response's body as the client gets it, when members are taken out. */
  stripped?: string;
  /** Why ajv, given the same schema and body, says something else. */
  ajv?: string;
}

export const models: Model[] = readdirSync(FOLDER)
  .filter(file => file.endsWith('.yaml'))
  .map(file => {
    const { openapi = {}, description, cases } = parse(readFileSync(join(FOLDER, file), 'utf8'));
    const whole = { info: { title: file, version: '1' }, ...description };
    if (!('swagger' in whole)) whole.openapi ??= '3.1.0';
    return { host: file.replace('.yaml', '.test'), openapi, description: whole, cases };
  });

export function bodyOf({ body, base64 }: Case): Buffer {
  return base64 === undefined ? Buffer.from(body ?? '') : Buffer.from(base64, 'base64');
}
