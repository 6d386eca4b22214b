// npm run generate: writes every file that is derived from the source and committed.
//
//   node .ci/generate.mjs            writes them
//   node .ci/generate.mjs --check    builds nothing, only says which are not as they should be
//
// native/door/index.d.ts is a by-product of the build; the others are asked of the built program.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildOrExplain } from './build.mjs';
import { root } from './step.mjs';

const built = module => import(pathToFileURL(join(root, 'dist', module)).href);

/** Each generated file with what makes its text. */
const GENERATED = {
  'docs/reasons.md': async () => (await built('native.js')).reasons(),
  'docs/config.md': async () =>
    (await built('config/document.js')).markdown((await built('config/schema.js')).jsonSchema()),
  'docs/cli.md': async () =>
    (await built('manage/cli/document.js')).markdown((await built('manage/cli/program.js')).bareProgram()),
  'src/config/portcullis.schema.json': async () =>
    JSON.stringify((await built('config/schema.js')).jsonSchema(), null, 2),
};

const onlyCheck = process.argv.includes('--check');
if (!onlyCheck && !(await buildOrExplain())) process.exit(1);
for (const [file, make] of Object.entries(GENERATED)) {
  const text = `${(await make()).trimEnd()}\n`;
  const path = join(root, file);
  if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
  if (onlyCheck) {
    console.error(`${file} is not what the source makes of it: npm run generate, look at it, commit it`);
    process.exitCode = 1;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(`${file} written`);
  }
}
// The addon keeps threads of its own.
process.exit();
