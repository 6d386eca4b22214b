// A certification request (PKCS#10, RFC 2986) that says nothing but a key: what renewal takes. Node.js makes none.

import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { usage } from '../fault.js';

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const ATTRIBUTES = 0xa0;
const VERSION_1 = Buffer.from([0x02, 0x01, 0x00]);
const LINE = 64;

/** AlgorithmIdentifiers in DER, and the hash that is signed. RFC 5758, 3.2; RFC 8410, 3; RFC 8017, A.2.4. */
const ECDSA: Readonly<Record<string, [identifier: string, hash: string]>> = {
  prime256v1: ['300a06082a8648ce3d040302', 'sha256'],
  secp384r1: ['300a06082a8648ce3d040303', 'sha384'],
  secp521r1: ['300a06082a8648ce3d040304', 'sha512'],
};
const ED25519 = '300506032b6570';
const RSA_SHA256 = '300d06092a864886f70d01010b0500';

/** PEM, signed with the private key. */
export function signingRequest(key: KeyObject): string {
  const [identifier, hash] = algorithmOf(key);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const asked = der(SEQUENCE, VERSION_1, der(SEQUENCE), publicKey, der(ATTRIBUTES));
  const signature = der(BIT_STRING, Buffer.from([0]), sign(hash, asked, key));
  const base64 = der(SEQUENCE, asked, Buffer.from(identifier, 'hex'), signature).toString('base64');
  const lines = base64.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): [string, string | null] {
  const curve = ECDSA[asymmetricKeyDetails?.namedCurve ?? ''];
  if (asymmetricKeyType === 'ec' && curve) return curve;
  if (asymmetricKeyType === 'ed25519') return [ED25519, null];
  if (asymmetricKeyType === 'rsa') return [RSA_SHA256, 'sha256'];
  throw usage(`a key of the kind ${asymmetricKeyType} can ask for no certificate`);
}

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

/** X.690, 8.1.3. */
function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}
