// uWebSockets.js by itself, for tests that first show what the gateway has to make up for.

import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadUws } from '../../src/accept/uws.js';
import { atTheEnd, temporaryFolder } from './cleanup.js';
import type { Identity } from './pki.js';

/** A TLS context that asks for certificates of these authorities. */
export interface PlainHost {
  name: string;
  identity: Identity;
  /** PEM. */
  clientAuthorities: string;
}

export interface PlainUws {
  port: number;
  /** What reached a handler, in order. */
  seen: { target: string; certificate: string }[];
}

/** Serves each host by a context of its own; every request is answered with its target, once its body is read. */
export async function plainUws(hosts: [PlainHost, ...PlainHost[]]): Promise<PlainUws> {
  const folder = temporaryFolder();
  const uws = loadUws(folder);
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const options = ({ name, identity, clientAuthorities }: PlainHost) => ({
    cert_file_name: file(`${name}.pem`, identity.cert),
    key_file_name: file(`${name}.key`, identity.key),
    ca_file_name: file(`${name}.authorities.pem`, clientAuthorities),
  });
  const plain: PlainUws = { port: 0, seen: [] };
  const answer = (res: HttpResponse, req: HttpRequest) => {
    const target = req.getUrl();
    const { getX509Certificate } = res as unknown as { getX509Certificate(): string };
    plain.seen.push({ target, certificate: getX509Certificate.call(res) });
    res.onAborted(() => {});
    res.onData((_, last) => {
      if (last) res.end(target);
    });
  };
  const app: TemplatedApp = uws.SSLApp(options(hosts[0]));
  app.any('/*', answer);
  for (const host of hosts) {
    app.addServerName(host.name, options(host));
    app.domain(host.name).any('/*', answer);
  }
  plain.port = await new Promise((resolve, reject) => {
    app.listen('127.0.0.1', 0, socket => {
      if (socket === false) reject(new Error('uWebSockets.js does not listen'));
      else resolve(uws.us_socket_local_port(socket as never));
    });
  });
  atTheEnd(() => app.close());
  return plain;
}
