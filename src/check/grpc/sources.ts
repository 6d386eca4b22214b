// The `.proto` files of a host: those that are named, and all that they import, read whole before the engine compiles
// them. It finds imports by itself again; here they are only looked for, so that no file is read anywhere else.

import { existsSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { type Loading, readBounded } from '../../config/loading.js';

/** Files of one host. googleapis has some 8,000 in all. */
const MAX_FILES = 1_024;
const MAX_BYTES = 64 * 2 ** 20;

/** One file: its name as in `import`, and how remarks call it. */
export interface ProtoSource {
  name: string;
  shown: string;
  text: string;
}

/** Throws a sentence that an operator understands. */
export function readSources(files: readonly string[], includes: readonly string[], loading: Loading): ProtoSource[] {
  const read = new Map<string, ProtoSource>();
  const waiting = files.map(name => ({ name, needed: true }));
  let bytes = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (read.has(next.name)) continue;
    const path = find(next.name, includes, loading);
    if (path === null) {
      if (next.needed) throw new Error(`no folder of \`includes\` has the file ${next.name}`);
      // The engine knows some by itself, and tells where the others are imported.
      continue;
    }
    const text = readBounded(path).toString('utf8');
    bytes += Buffer.byteLength(text);
    if (read.size === MAX_FILES) throw new Error(`the services have more than ${MAX_FILES} files`);
    if (bytes > MAX_BYTES) throw new Error(`the services have more than ${MAX_BYTES / 2 ** 20} MiB of files`);
    read.set(next.name, { name: next.name, shown: relative(loading.directory, path), text });
    waiting.push(...imports(text).map(name => ({ name, needed: false })));
  }
  return [...read.values()];
}

function find(name: string, includes: readonly string[], loading: Loading): string | null {
  for (const include of includes) {
    const folder = resolve(loading.directory, include);
    const path = join(folder, name);
    const inside = relative(folder, path);
    if (inside === '..' || inside.startsWith(`..${sep}`)) continue;
    // Also one that is not there: when it appears, it counts.
    loading.path(path);
    if (existsSync(path)) return path;
  }
  return null;
}

/** Names behind `import`, outside of comments. */
function imports(text: string): string[] {
  const bare = text.replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, token =>
    token.startsWith('/') ? ' ' : token,
  );
  const found = bare.matchAll(/(?:^|[;}\s])import\s+(?:(?:public|weak)\s+)?(?:"([^"\\\n]+)"|'([^'\\\n]+)')/g);
  return [...found].map(match => match[1] ?? match[2] ?? '');
}
