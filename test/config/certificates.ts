// X.509 certificates written by hand with node:crypto: as much DER as the tests need, and no tool to install.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface Made {
  certificate: string;
  key: string;
  issuer: { name: string; key: KeyObject };
}

export interface Wish {
  name: string;
  dnsNames?: string[];
  ca?: boolean;
  issuer?: Made;
  notAfter?: Date;
}

export function make({
  name,
  dnsNames = [],
  ca = false,
  issuer,
  notAfter = new Date(Date.now() + 60 * 864e5),
}: Wish): Made {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const by = issuer?.issuer ?? { name, key: privateKey };
  const algorithm = sequence(oid('2a8648ce3d040302'));
  const names = dnsNames.map(dns => der(0x82, Buffer.from(dns)));
  const extensions = [
    sequence(
      oid('551d13'),
      der(0x01, Buffer.from([0xff])),
      der(0x04, sequence(...(ca ? [der(0x01, Buffer.from([0xff]))] : []))),
    ),
    ...(names.length > 0 ? [sequence(oid('551d11'), der(0x04, sequence(...names)))] : []),
  ];
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(
      0x02,
      Buffer.concat([Buffer.from([1]), createHash('sha256').update(`${name}${Math.random()}`).digest().subarray(0, 8)]),
    ),
    algorithm,
    commonName(by.name),
    sequence(time(new Date(Date.now() - 2 * 864e5)), time(notAfter)),
    commonName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, by.key);
  const whole = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = whole.toString('base64').match(/.{1,64}/g) as string[];
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    issuer: { name, key: privateKey },
  };
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const commonName = (name: string) => sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(name)))));
const time = (date: Date) => der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
