// Each case of test/corpus/schema/dialect.json is a schema of a description: which values its conversion accepts in
// each direction, by ajv, and what is said about it. The same documents meet the engine in conformance.test.ts.

import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { cases, convert } from './dialect/cases.js';

for (const entry of cases) {
  test(entry.name, () => {
    const { document, names, said } = convert(entry);
    expect(said).toEqual({ problems: entry.problems ?? [], warnings: entry.warnings ?? [] });
    if (entry.properties !== undefined) expect(Object.keys(document.properties)).toHaveLength(entry.properties);
    if (entry.defs !== undefined) expect(Object.keys(document.$defs).sort()).toEqual(entry.defs);
    if (entry.problems !== undefined || entry.notAjv !== undefined) return;
    const ajv = new Ajv2020({ strict: false, validateFormats: false, ownProperties: true });
    ajv.addSchema({ $id: 'json-schema:///', ...document });
    for (const direction of ['request', 'response'] as const) {
      const holds = ajv.compile({ $ref: `json-schema:///#/properties/${names[direction]}` });
      const { accepts = [], refuses = [] } = entry[direction] ?? {};
      for (const value of accepts) expect(holds(value), `${direction} ${JSON.stringify(value)}`).toBe(true);
      for (const value of refuses) expect(holds(value), `${direction} ${JSON.stringify(value)}`).toBe(false);
    }
  });
}

test('the same schema has the same name in the same direction', () => {
  const { again, names } = convert(cases[0] as (typeof cases)[0]);
  expect(again.request).toBe(names.request);
  expect(names.request).not.toBe(names.response);
});

test('problems of the engine find their place in the description', () => {
  const { origins } = convert(cases.find(({ defs }) => defs?.length === 3) as (typeof cases)[0]);
  expect(Object.fromEntries(origins)).toMatchObject({
    '/properties/value0': '/components/schemas/Case/properties/value',
    '/$defs/Order': '/components/schemas/Order',
  });
});
