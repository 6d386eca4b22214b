// The corpus of schemas, and their conversion.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mapping } from '../../../src/check/endpoints/description.js';
import { Dialect, type Direction, type Loose } from '../../../src/check/endpoints/dialect.js';
import { Unchecked } from '../../../src/check/endpoints/remarks.js';
import { stub } from './stub.js';

interface Values {
  accepts?: unknown[];
  refuses?: unknown[];
}

export interface Case {
  name: string;
  openapi: string;
  dialect?: string;
  loose?: Loose;
  schema: unknown;
  components?: Mapping;
  request?: Values;
  response?: Values;
  problems?: string[];
  warnings?: string[];
  /** How many values are checked apart. */
  properties?: number;
  defs?: string[];
  /** Why only the engine is asked. */
  notAjv?: string;
}

export const cases: Case[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../corpus/schema/dialect.json'), 'utf8'),
);

/** The schema stands inside of a component, where no place makes it a resource by itself. */
export function convert({ openapi, dialect, loose, schema, components }: Case) {
  const root = {
    openapi,
    ...(dialect !== undefined && { jsonSchemaDialect: dialect }),
    components: { schemas: { ...components, Case: { properties: { value: schema } } } },
  };
  const { description, problems, warnings } = stub(root);
  const unchecked = new Unchecked(description);
  const reader = new Dialect(description, unchecked, openapi.startsWith('3.1'), loose);
  const found = { value: schema, pointer: '/components/schemas/Case/properties/value' };
  const name = (direction: Direction) => reader.schema(found, direction);
  const names = { request: name('request'), response: name('response') };
  const again = { request: name('request'), response: name('response') };
  unchecked.report();
  return {
    names,
    again,
    origins: reader.origins,
    document: reader.root() as { $defs: Mapping; properties: Mapping },
    said: { problems, warnings },
  };
}
