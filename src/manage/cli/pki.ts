// `portcullis pki`: authorities and the certificates that they issue.

import type { Command } from 'commander';
import { addRevoke } from './pki/revoke.js';
import type { Parts } from './program.js';

export function addPki(program: Command, { terminal }: Pick<Parts, 'terminal' | 'pki'>): void {
  const pki = program.command('pki').description('authorities, and the client certificates that they issue');
  addRevoke(pki, terminal);
}
