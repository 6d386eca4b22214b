// npm run generate: writes every file that is derived from the source and committed.
//
// native/door/index.d.ts comes out of the build itself; the rest is asked of the built program.

import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildOrExplain } from './build.mjs';
import { root } from './step.mjs';
