// What the engine says of requests, for a description that a test made up: compiled as a configuration's would be.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileOpenapi } from '../../src/check/endpoints/compile.js';
import { openapi } from '../../src/check/endpoints/config.js';
import { Loading } from '../../src/config/loading.js';
import { Source } from '../../src/config/read.js';
import { type Explanation, explained } from '../../src/manage/cli/explain.js';
import type { Request } from '../../src/manage/cli/request.js';
import * as native from '../../src/native.js';
import { temporaryFolder } from './cleanup.js';

const HOST = 'judged.test';
const AT = `/hosts/${HOST}/openapi`;

export type Judge = (request: Partial<Request>) => Explanation['findings'];

/** `paths` and `components` of a description, to what answers for its requests. Throws what is wrong with it. */
export async function judge(description: { paths: object; components?: object; openapi?: string }): Promise<Judge> {
  shared ??= temporaryFolder();
  const folder = shared;
  const file = 'described.json';
  const whole = { openapi: '3.1.0', info: { title: 'Judged', version: '1' }, ...description };
  writeFileSync(join(folder, file), JSON.stringify(whole));
  const source = new Source('portcullis.yaml', `hosts: { ${HOST}: { openapi: { file: ${file} } } }`, {
    env: {},
    file: () => '',
  });
  const loading = new Loading(source, folder);
  const compiled = await compileOpenapi(openapi.parse({ file, fallthrough: 'block' }), AT, loading);
  const problems = loading.problems.filter(({ severity }) => severity === 'problem');
  if (compiled === null || problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n'));
  const mtls = { mode: 'off', trust: [], paths: [], forward: [] };
  const host = { name: HOST, at: `/hosts/${HOST}`, origin: 0, mtls, openapi: compiled.policy, max_body_bytes: 2 ** 20 };
  const origin = {
    addresses: ['127.0.0.1:1'],
    connections: 1,
    connect_timeout_ms: 1,
    first_byte_timeout_ms: 1,
    idle_timeout_ms: 1,
  };
  const policy = JSON.stringify({ authorities: [], lists: [], rules: [], origins: [origin], hosts: [host] });
  return ({ method = 'GET', target = '/', fields = [], body = Buffer.alloc(0) }) => {
    const length: [string, string][] = body.length > 0 ? [['content-length', String(body.length)]] : [];
    const request: Request = { method, target, fields: [['host', HOST], ...length, ...fields], body };
    return explained(native.explain, policy, request, null).findings;
  };
}

let shared: string | undefined;

/** A judge of JSON bodies by their schema. */
export async function judgeOfJson(schema: unknown, components: object = {}): Promise<(value: unknown) => string> {
  const content = { 'application/json': { schema } };
  const ask = await judge({ paths: { '/': { post: { requestBody: { required: true, content } } } }, components });
  return value => {
    const body = Buffer.from(JSON.stringify(value));
    const findings = ask({ method: 'POST', target: '/', fields: [['content-type', 'application/json']], body });
    return findings[0]?.reason ?? 'pass';
  };
}
