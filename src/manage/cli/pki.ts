// `portcullis pki`: authorities and the certificates that they issue.

import type { Command } from 'commander';
import { addAuthority } from './pki/authority.js';
import { addCertificates } from './pki/certificates.js';
import { addEnrolment } from './pki/enrolment.js';
import { addInspect } from './pki/inspect.js';
import { addIssue } from './pki/issue.js';
import { addRenew } from './pki/renew.js';
import { addRevoke } from './pki/revoke.js';
import type { Parts } from './program.js';

export function addPki(program: Command, { terminal, pki: native }: Pick<Parts, 'terminal' | 'pki'>): void {
  const pki = program.command('pki').description('authorities, and the client certificates that they issue');
  addAuthority(pki, terminal);
  addIssue(pki, terminal);
  addRenew(pki, terminal);
  addRevoke(pki, terminal);
  addCertificates(pki, terminal);
  addEnrolment(pki, terminal);
  addInspect(pki, terminal, native);
}
