// Changes descriptions at random and has them loaded:
//
//     npm run build && node --expose-gc test/fuzz/description.mjs [seconds] [seed]
//
// Loading never throws, never takes more than a few seconds per megabyte, and never grows beyond a bound. What breaks
// one of these is written to a file that the message names.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const { compileOpenapi } = await import(join(root, 'dist/check/endpoints/compile.js'));
const { openapi } = await import(join(root, 'dist/check/endpoints/config.js'));
const { Text } = await import(join(root, 'dist/check/endpoints/text.js'));
const { Loading } = await import(join(root, 'dist/config/loading.js'));
const { Source } = await import(join(root, 'dist/config/read.js'));

const SECONDS = Number(process.argv[2] ?? 60);
/** What any text may take, however short: a collection of garbage falls where it likes. */
const PATIENCE_MS = 1_500;
const MS_PER_MEGABYTE = 4_000;
const MAX_RSS = 1_200 * 2 ** 20;
/** Texts grow by repetition up to here. */
const MAX_LENGTH = 300_000;

let state = Number(process.argv[3] ?? Date.now() % 2 ** 31);
console.log(`seed ${state}, ${SECONDS} s`);

/** xorshift: the same seed makes the same run. */
function below(bound) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % bound;
}
const pick = list => list[below(list.length)];

const TOKENS = (
  '{ } [ ] , : - ? | > & * ! # % @ ` " \' \\ \n \t \r << *a &a !!str !!int --- ... ~ null true 1e999 -0 0x1F ' +
  '$ref $id $anchor $self #/ #/paths #/definitions/a #/components/schemas/Order openapi.yaml beside.yaml#/a ../x ' +
  'file:///etc/passwd https://example.com/a openapi: swagger: "2.0" 3.2.0 3.0.3 paths: /{id} get: post: query: ' +
  'additionalOperations: parameters: requestBody: content: schema: in: body formData querystring collectionFormat: ' +
  'tsv multi type: file array object properties: allOf: items: discriminator: x-nullable: __proto__: constructor: ' +
  'security: securitySchemes: securityDefinitions: x-portcullis: public: roles: claims: apiKey oauth2 http mutualTLS ' +
  'responses: definitions: components: servers: host: basePath: consumes: produces: \ud800 \u0000 \ufeff é 😀'
).split(' ');

const CHANGES = [
  (text, at) => text.slice(0, at) + pick(TOKENS) + text.slice(at),
  (text, at) => `${text.slice(0, at)}\n${' '.repeat(below(12))}${pick(TOKENS)} ${pick(TOKENS)}${text.slice(at)}`,
  (text, at) => text.slice(0, at) + text.slice(at + 1 + below(20)),
  (text, at) => text.slice(0, at) + String.fromCharCode(below(below(2) ? 128 : 65_536)) + text.slice(at + 1),
  // A stretch again, many times.
  (text, at) => {
    const part = text.slice(at, at + 1 + below(40));
    return text.slice(0, at) + part.repeat(1 + below(below(8) === 0 ? 2_000 : 20)) + text.slice(at);
  },
  (text, at) => text.slice(0, at) + pick(TOKENS).repeat(below(below(8) === 0 ? 20_000 : 100)) + text.slice(at),
  // A stretch of another description.
  (text, at) => {
    const other = pick(seeds);
    const from = below(other.length);
    return text.slice(0, at) + other.slice(from, from + below(400)) + text.slice(at);
  },
  // A line elsewhere, or at another indentation.
  text => {
    const lines = text.split('\n');
    const [from, to] = [below(lines.length), below(lines.length)];
    lines.splice(to, 0, ' '.repeat(below(6)) + lines[from]);
    return lines.join('\n');
  },
  (text, at) => text.slice(0, at).trimEnd(),
];

const seeds = [
  ...under(join(root, 'test/corpus/endpoints')),
  ...under(join(root, 'examples')),
  '{"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [{"name": "a", "in": "query"}]}}}}',
];

/** The same as trees, Swagger 2.0 and OpenAPI 3: a member put elsewhere leaves a text that can still be read. */
const trees = seeds
  .map(seed => new Text('seed', seed).value)
  .filter(value => value?.paths)
  .map(value => JSON.stringify(value));

function changedTree() {
  const tree = JSON.parse(pick(trees));
  for (let changes = 1 + below(4); changes > 0; changes--) {
    const [from, to] = [somewhere(tree), somewhere(below(2) ? tree : JSON.parse(pick(trees)))];
    const kinds = [
      to.holder[to.key],
      null,
      [],
      {},
      below(300),
      pick(TOKENS),
      [to.holder[to.key]],
      { $ref: pick(TOKENS) },
    ];
    // A copy: what holds itself is no JSON.
    from.holder[below(6) ? from.key : pick(TOKENS)] = structuredClone(pick(kinds));
    if (below(8) === 0) delete from.holder[from.key];
  }
  return JSON.stringify(tree, null, below(3));
}

function somewhere(tree) {
  let [holder, key] = [{ tree }, 'tree'];
  for (let depth = below(12); depth >= 0; depth--) {
    const value = holder[key];
    if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) break;
    [holder, key] = [value, pick(Object.keys(value))];
  }
  return { holder, key };
}

function under(folder) {
  return readdirSync(folder, { recursive: true })
    .map(name => join(folder, name))
    .filter(file => /\.(ya?ml|json)$/.test(file) && !file.includes('node_modules') && statSync(file).size < 100_000)
    .map(file => readFileSync(file, 'utf8'));
}

const folder = mkdtempSync(join(tmpdir(), 'portcullis-fuzz-'));
writeFileSync(join(folder, 'beside.yaml'), seeds[0]);
let runs = 0;
let slowest = 0;
let refused = 0;
let text = pick(seeds);
const end = Date.now() + SECONDS * 1_000;
for (; Date.now() < end; runs++) {
  // Now and then from the start: changes pile up to noise.
  if (below(5) === 0 || text.length > MAX_LENGTH) text = pick(seeds);
  text = below(2) ? changedTree() : pick(CHANGES)(text, below(text.length + 1));
  const file = below(4) === 0 ? 'openapi.json' : 'openapi.yaml';
  writeFileSync(join(folder, file), text);
  const started = performance.now();
  try {
    const loading = new Loading(new Source('portcullis.yaml', '', { env: {}, file: () => '' }), folder);
    const policy = await compileOpenapi(openapi.parse({ file }), '/openapi', loading);
    const faults = loading.problems.filter(({ severity }) => severity === 'problem').length;
    if (policy === null && faults === 0) fail('refused without a word');
    for (const { place } of loading.problems) {
      if (!(place.line >= 1 && place.column >= 1 && place.width >= 1)) fail(`no place: ${JSON.stringify(place)}`);
    }
    refused += policy === null;
  } catch (error) {
    fail(error.stack);
  }
  const took = performance.now() - started;
  slowest = Math.max(slowest, took);
  if (took > PATIENCE_MS + (MS_PER_MEGABYTE * text.length) / 1e6) fail(`took ${Math.round(took)} ms`);
  if (process.memoryUsage.rss() > MAX_RSS) {
    global.gc?.();
    if (process.memoryUsage.rss() > MAX_RSS) fail('grew beyond the bound');
  }
}
rmSync(folder, { recursive: true });
const peak = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(
  `${runs} descriptions, ${refused} refused, slowest ${Math.round(slowest)} ms, at most ${peak} MiB resident`,
);

function fail(why) {
  const file = join(tmpdir(), `portcullis-fuzz-${runs}.txt`);
  writeFileSync(file, text);
  console.error(`${why}\n${file}, ${text.length} characters`);
  process.exit(1);
}
