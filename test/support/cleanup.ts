// What a test file started is ended after its last test, in reverse order, also when a test failed half-way.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const endings: (() => unknown)[] = [];

/** Runs `end` after the last test of this file. */
export function atTheEnd(end: () => unknown): void {
  endings.push(end);
}

/** A folder that is gone after the last test of this file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});
