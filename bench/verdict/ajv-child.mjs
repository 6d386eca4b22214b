// A process of its own, so that it can be pinned: reads the folder that it is given, prints microseconds by body.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const SAMPLES = 20;
const SAMPLE_MS = 50;
// V8 optimises a function after some thousand calls.
const WARM_UP_MS = 500;

const [folder] = process.argv.slice(2);
const { schema } = JSON.parse(readFileSync(join(folder, 'openapi.json'), 'utf8'));
// The description has one body, so its schema is the only one.
const [property] = Object.keys(schema.properties);
const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
ajv.addSchema(schema, 'bench');
const validate = ajv.compile({ $ref: `bench#/properties/${encodeURIComponent(pointed(property))}` });

const found = {};
for (const file of readdirSync(folder)) {
  const [, name, kind] = /^(.*)\.(body|refused)$/.exec(file) ?? [];
  if (kind === undefined) continue;
  const body = readFileSync(join(folder, file));
  // Of two equal names JSON.parse keeps the last: ajv can't refuse that.
  if (verdict(body) !== (kind === 'body' || name === 'duplicate')) throw new Error(`ajv is wrong about ${file}`);
  if (kind === 'body') found[name] = measure(body);
}
process.stdout.write(JSON.stringify(found));

/** From the bytes as Node has them: to a string, to a value, to a verdict. */
function verdict(bytes) {
  return validate(JSON.parse(bytes.toString('utf8')));
}

function measure(body) {
  timed(body, WARM_UP_MS);
  const samples = Array.from({ length: SAMPLES }, () => timed(body, SAMPLE_MS)).sort((a, b) => a - b);
  return (samples[SAMPLES / 2 - 1] + samples[SAMPLES / 2]) / 2;
}

/** Microseconds a verdict, over at least that long. */
function timed(body, atLeastMs) {
  let count = 0;
  const started = performance.now();
  let elapsed = 0;
  while (elapsed < atLeastMs) {
    for (let i = 0; i < 50; i++) if (!verdict(body)) throw new Error('a body that fits was refused');
    count += 50;
    elapsed = performance.now() - started;
  }
  return (elapsed * 1000) / count;
}

function pointed(name) {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
