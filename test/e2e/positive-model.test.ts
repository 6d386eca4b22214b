// Every case of test/corpus/schema/model gets its verdict three ways: from the engine, through the gateway on the
// wire, and, where it can be compared, from ajv. A new case needs no code.

import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { load } from '../../src/config/load.js';
import { explained } from '../../src/manage/cli/explain.js';
import type { Request } from '../../src/manage/cli/request.js';
import * as native from '../../src/native.js';
import { type Front, startFront } from '../support/front.js';
import { connect } from '../support/https.js';
import { bodyOf, type Case, type Model, models } from '../support/model.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';

const NOT_JSON = 'the body is not JSON, or not only the body decides';

let origin: HttpOrigin;
let front: Front;
let policy: string;

/** Which case a request is, for the origin: `x-case: <host> <index>`. */
const named = (written: string | undefined): Case | undefined => {
  const [host, index] = (written ?? '').split(' ');
  return models.find(model => model.host === host)?.cases[Number(index)];
};

beforeAll(async () => {
  origin = await httpOrigin((arrived, answer) => {
    const { status = 200, fields = {}, body = '' } = named(String(arrived.headers['x-case']))?.response ?? {};
    answer.writeHead(status, fields);
    answer.end(body);
  });
  const hosts = Object.fromEntries(
    models.map(({ host, openapi }) => [
      host,
      { origin: origin.url, openapi: { action: 'block', fallthrough: 'block', ...openapi, file: `${host}.json` } },
    ]),
  );
  const files = Object.fromEntries(
    models.map(({ host, description }) => [`${host}.json`, JSON.stringify(description, null, 1)]),
  );
  front = await startFront(hosts, { files });
  const loaded = await load(front.gateway.configFile);
  expect(loaded.remarks.filter(({ severity }) => severity === 'problem')).toEqual([]);
  policy = JSON.stringify(loaded.parts?.policy);
});

for (const model of models) {
  describe(model.host.replace('.test', '').replaceAll('-', ' '), () => {
    model.cases.forEach((one, index) => {
      test(one.name, async () => {
        expect(byEngine(model, one), 'the engine').toEqual(expected(one));
        expect(await onWire(model, one, index), 'the gateway').toEqual(one.verdict);
        const theirs = byAjv(model, one);
        if (theirs !== NOT_JSON) expect(theirs === one.verdict, `ajv says ${theirs}`).toBe(one.ajv === undefined);
      });
    });
  });
}

function expected({ verdict, errors, stripped }: Case) {
  return { verdict, ...(errors && { errors: [...errors].sort() }), ...(stripped !== undefined && { stripped }) };
}

function requestOf({ host }: Model, one: Case): Request {
  const [method = '', target = ''] = one.request.split(' ');
  const body = bodyOf(one);
  const fields = Object.entries({
    host,
    ...(body.length > 0 && { 'content-length': String(body.length) }),
    ...one.fields,
  });
  return { method, target, fields, body };
}

function byEngine(model: Model, one: Case) {
  const response = one.response && {
    status: one.response.status ?? 200,
    fields: Object.entries(one.response.fields ?? {}).map(([name, value]): [string, string] => [
      name.toLowerCase(),
      value,
    ]),
    body: Buffer.from(one.response.body ?? ''),
  };
  const { findings, stripped } = explained(native.explain, policy, requestOf(model, one), response ?? null);
  const bites = findings.find(({ action }) => action === 'block' || action === 'strip');
  const errors = (bites?.errors ?? []).map(error => `${error.location} ${error.pointer} ${error.class}`);
  return {
    verdict: bites?.reason ?? 'pass',
    ...(one.errors && { errors: [...errors].sort() }),
    ...(one.stripped !== undefined && { stripped }),
  };
}

async function onWire(model: Model, one: Case, index: number): Promise<string> {
  const { method, target, fields, body } = requestOf(model, one);
  const lines = [...fields, ['x-case', `${model.host} ${index}`]].map(([name, value]) => `${name}: ${value}\r\n`);
  const client = await connect(front.caller(model.host));
  const before = origin.arrived.length;
  const answer = await client.ask(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body.toString('latin1')}`);
  client.close();
  if (answer.headers['content-type'] === 'application/problem+json' && answer.body.includes('"urn:portcullis:')) {
    const problem = JSON.parse(answer.body);
    expect(answer.status).toBe(problem.status);
    return problem.reason;
  }
  const reached = origin.arrived.slice(before);
  expect(reached.map(arrived => arrived.body.equals(body))).toEqual([true]);
  expect(answer.status).toBe(one.response?.status ?? 200);
  const sent = one.stripped ?? one.response?.body ?? '';
  if (method !== 'HEAD') expect(Buffer.from(answer.body, 'latin1').toString()).toBe(sent);
  return 'pass';
}

/** What ajv says of a JSON body that its schema alone decides about. */
function byAjv({ description }: Model, one: Case): string {
  if (one.verdict !== 'pass' && one.verdict !== 'schema.body') return NOT_JSON;
  const [method = '', target = ''] = one.request.split(' ');
  const operation = description.paths[target]?.[method.toLowerCase()] as
    | { requestBody?: { content?: Record<string, { schema?: object }> } }
    | undefined;
  const schema = operation?.requestBody?.content?.['application/json']?.schema;
  if (schema === undefined || one.fields?.['content-type'] !== 'application/json' || one.response) return NOT_JSON;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  let value: unknown;
  try {
    value = JSON.parse(bodyOf(one).toString());
  } catch {
    return NOT_JSON;
  }
  return ajv.compile({ ...schema, components: description.components ?? {} })(value) ? 'pass' : 'schema.body';
}
