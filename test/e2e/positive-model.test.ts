// Every case of test/corpus/schema/model gets its verdict four ways: from the engine, through both doors of the gateway on
// the wire, and, where it can be compared, from ajv. A new case needs no code.

import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { load } from '../../src/config/load.js';
import { explained } from '../../src/manage/cli/explain.js';
import type { Request } from '../../src/manage/cli/request.js';
import * as native from '../../src/native.js';
import { type Front, startFront } from '../support/front.js';
import { connectFrames } from '../support/h2-frames.js';
import { connect } from '../support/https.js';
import { bodyOf, type Case, fieldsOf, type Model, models } from '../support/model.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';

const NOT_COMPARED = 'not JSON, not draft 2020-12, or not decided by the body alone';

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
    const response = named(String(arrived.headers['x-case']))?.response ?? {};
    const body = bodyOf(response);
    for (const [name, value] of fieldsOf(response)) answer.appendHeader(name, value);
    const bodiless = arrived.method === 'HEAD' || response.status === 204 || response.status === 304;
    if (!response.chunked && !bodiless) answer.setHeader('content-length', body.length);
    answer.writeHead(response.status ?? 200).end(body);
  });
  const hosts = Object.fromEntries(
    models.map(({ host, openapi }) => [
      host,
      {
        origin: origin.url,
        openapi: {
          action: 'block',
          fallthrough: 'block',
          ...('documents' in openapi ? {} : { file: `${host}.json` }),
          ...openapi,
        },
      },
    ]),
  );
  const files = models.flatMap(({ host, description, files }) =>
    Object.entries({ ...files, [`${host}.json`]: description }).map(([name, content]) => [
      name,
      JSON.stringify(content, null, 1),
    ]),
  );
  front = await startFront(hosts, { files: Object.fromEntries(files) });
  const loaded = await load(front.gateway.configFile);
  expect(loaded.remarks.filter(({ severity }) => severity === 'problem')).toEqual([]);
  policy = JSON.stringify(loaded.parts?.policy);
});

for (const model of models) {
  describe(model.host.replace('.test', '').replaceAll('-', ' '), () => {
    model.cases.forEach((one, index) => {
      test(one.name, async () => {
        expect(byEngine(model, one), 'the engine').toEqual(expected(one));
        expect(await onWire(model, one, index, overHttp1), 'the gateway by HTTP/1.1').toEqual(one.verdict);
        expect(await onWire(model, one, index, overHttp2), 'the gateway by HTTP/2').toEqual(one.verdict);
        const theirs = byAjv(model, one);
        if (theirs !== NOT_COMPARED) expect(theirs === one.verdict, `ajv says ${theirs}`).toBe(one.ajv === undefined);
        else expect(one.ajv, 'ajv is not asked').toBeUndefined();
      });
    });
  });
}

function expected({ verdict, errors, logged, operation, stripped }: Case) {
  return {
    verdict,
    ...(errors && { errors: [...errors].sort() }),
    ...(logged && { logged }),
    ...(operation && { operation }),
    ...(stripped !== undefined && { stripped }),
  };
}

function requestOf({ host }: Model, one: Case): Request {
  const [method = '', target = ''] = one.request.split(' ');
  const body = bodyOf(one);
  const length: [string, string][] = body.length > 0 ? [['content-length', String(body.length)]] : [];
  return { method, target, fields: [['host', host], ...length, ...fieldsOf(one)], body };
}

function byEngine(model: Model, one: Case) {
  const response = one.response && {
    status: one.response.status ?? 200,
    fields: fieldsOf(one.response),
    body: bodyOf(one.response),
  };
  const { findings, stripped, operation } = explained(native.explain, policy, requestOf(model, one), response ?? null);
  const bites = findings.find(({ action }) => action === 'block' || action === 'strip');
  const errors = (bites?.errors ?? []).map(error => `${error.location} ${error.pointer} ${error.class}`);
  return {
    verdict: bites?.reason ?? 'pass',
    ...(one.errors && { errors: [...errors].sort() }),
    ...(one.logged && { logged: findings.filter(({ action }) => action === 'log').map(({ reason }) => reason) }),
    ...(one.operation && { operation }),
    ...(one.stripped !== undefined && { stripped }),
  };
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  /** Latin-1: a character is a byte. */
  body: string;
}

async function overHttp1(host: string, { method, target, fields, body }: Request): Promise<Answer> {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const client = await connect(front.caller(host));
  const answer = await client.ask(Buffer.concat([head, body]).toString('latin1'));
  client.close();
  return answer;
}

async function overHttp2(host: string, { method, target, fields, body }: Request): Promise<Answer> {
  const client = await connectFrames(front.caller(host));
  const others = fields.filter(([name]) => name !== 'host');
  client.begin().request(1, target, others.map(inUtf8), { method, open: body.length > 0 });
  if (body.length > 0) await client.upload(1, Buffer.from(body));
  const outcome = await client.outcome(1);
  client.close();
  if (!('status' in outcome)) throw new Error(`no answer but ${JSON.stringify(outcome)}`);
  const headers: Record<string, string> = {};
  for (const [name, value] of outcome.fields) headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  return { ...outcome, headers };
}

/** As the other door gets it: a character of the text is a character, not a byte. */
function inUtf8([name, value]: [string, string]): [string, string] {
  return [name, Buffer.from(value).toString('latin1')];
}

async function onWire(model: Model, one: Case, index: number, over: typeof overHttp1): Promise<string> {
  const asked = requestOf(model, one);
  const { method, body } = asked;
  const before = origin.arrived.length;
  const fields: Request['fields'] = [...asked.fields, ['x-case', `${model.host} ${index}`]];
  const answer = await over(model.host, { ...asked, fields });
  const { status, headers } = answer;
  if (headers['content-type'] === 'application/problem+json' && headers['cache-control'] === 'no-store') {
    expect(headers.allow).toBe(one.allow);
    // What the origin answered is not shown.
    if (one.response?.body) expect(answer.body).not.toContain(one.response.body);
    // A denial of HEAD is known by its status alone.
    const problem = method === 'HEAD' ? { status, reason: one.verdict } : JSON.parse(answer.body);
    expect(status).toBe(problem.status);
    return problem.reason;
  }
  const reached = origin.arrived.slice(before);
  expect(reached.map(arrived => arrived.body.equals(body))).toEqual([true]);
  expect(status).toBe(one.response?.status ?? 200);
  const sent = one.stripped === undefined ? bodyOf(one.response ?? {}) : Buffer.from(one.stripped);
  if (method !== 'HEAD') expect(Buffer.from(answer.body, 'latin1').toString()).toBe(sent.toString());
  if (one.logged) {
    const event = await front.gateway.event(({ RayID }) => RayID === reached[0]?.headers['x-request-id']);
    expect(event.SecurityRuleIDs ?? [], 'the record').toEqual(one.logged);
  }
  return 'pass';
}

/** What ajv says of a JSON body that its schema alone decides about. */
function byAjv({ description }: Model, one: Case): string {
  if (one.verdict !== 'pass' && one.verdict !== 'schema.body') return NOT_COMPARED;
  const [method = '', target = ''] = one.request.split(' ');
  const operation = description.paths[target]?.[method.toLowerCase()] as
    | { requestBody?: { content?: Record<string, { schema?: object }> } }
    | undefined;
  const schema = operation?.requestBody?.content?.['application/json']?.schema;
  const types = fieldsOf(one).filter(([name]) => name.startsWith('content-'));
  const others = one.response ?? one.logged;
  if (schema === undefined || String(types) !== 'content-type,application/json' || others) return NOT_COMPARED;
  if (!description.openapi?.startsWith('3.1')) return NOT_COMPARED;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  try {
    const value = JSON.parse(bodyOf(one).toString());
    return ajv.compile({ allOf: [schema], components: description.components ?? {} })(value) ? 'pass' : 'schema.body';
  } catch (error) {
    // No JSON, or a reference into another file.
    if (error instanceof SyntaxError || error instanceof Ajv2020.MissingRefError) return NOT_COMPARED;
    return `an error: ${error}`;
  }
}
