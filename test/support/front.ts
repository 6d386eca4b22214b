// A gateway in front of a test's origins: one server certificate for all host names, and one authority whose
// certificates every host demands unless the test says otherwise.

import { type Gateway, launchGateway, type Started } from './gateway.js';
import type { Caller } from './https.js';
import { type Authority, authority, type Identity } from './pki.js';

export interface Front {
  gateway: Gateway;
  servers: Authority;
  devices: Authority;
  client: Identity;
  /** A client of that host, with the good certificate unless told otherwise (null: none). */
  caller(host: string, identity?: Identity | null): Caller;
  /** The configuration of hosts as the gateway was started with, to change and write again. */
  hosts: Record<string, object>;
}

export interface Settings extends Started {
  /** Further top-level keys of portcullis.yaml. */
  config?: object;
  /** Who issues server certificates, for tests that issue some more. */
  issuer?: Authority | Promise<Authority>;
}

/** `hosts` maps names to what portcullis.yaml says of them, with `tls` and `mtls` filled in. */
export async function startFront(hosts: Record<string, object>, settings: Settings = {}): Promise<Front> {
  const front = await launchFront(hosts, settings);
  await front.gateway.ready();
  return front;
}

/** The same without waiting until it serves. */
export async function launchFront(
  hosts: Record<string, object>,
  { config = {}, files = {}, issuer = authority('servers'), ...started }: Settings = {},
): Promise<Front> {
  const [servers, devices] = await Promise.all([issuer, authority('devices')]);
  const [server, client] = await Promise.all([servers.server(Object.keys(hosts)), devices.client('sensor-1')]);
  const whole = Object.fromEntries(Object.entries(hosts).map(([name, host]) => [name, { ...COMMON, ...host }]));
  const gateway = await launchGateway(
    { authorities: { devices: { certificates: 'devices.pem' } }, hosts: whole, ...config },
    {
      ...started,
      files: { 'server.pem': server.cert, 'server.key': server.key, 'devices.pem': devices.pem, ...files },
    },
  );
  const caller = (host: string, identity: Identity | null = client): Caller => ({
    port: gateway.https,
    host,
    ca: servers.pem,
    cert: identity?.cert,
    key: identity?.key,
  });
  return { gateway, servers, devices, client, caller, hosts: whole };
}

const COMMON = {
  tls: { certificate: 'server.pem', key: 'server.key' },
  mtls: { mode: 'require', trust: ['devices'] },
};
