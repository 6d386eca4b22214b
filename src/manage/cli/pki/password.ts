// Passwords of PKCS#12 files: from a file, the environment or a person, never from the command line.

import { readSecret } from '../files.js';
import { newSecret, secret, type Terminal } from '../terminal.js';

const INSTEAD = '`--password-file` or PORTCULLIS_PASSWORD';

/** Of a file that is to be made: typed twice. */
export async function newPassword(terminal: Terminal, file: string | undefined): Promise<string> {
  return given(terminal, file) ?? (await newSecret(terminal, 'password of the PKCS#12 file', INSTEAD));
}

/** Of a file that is there. */
export async function password(terminal: Terminal, of: string, file: string | undefined): Promise<string> {
  return given(terminal, file) ?? (await secret(terminal, `password of ${of}`, INSTEAD));
}

function given({ env }: Terminal, file: string | undefined): string | undefined {
  return file === undefined ? env.PORTCULLIS_PASSWORD || undefined : readSecret(file);
}
