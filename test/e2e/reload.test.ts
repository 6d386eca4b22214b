// The configuration changes while requests are under way: whole or not at all, and nobody's request is lost.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { atTheEnd } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { connect, type RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { until } from '../support/waiting.js';

const RELOADS = 200;
/** Ten seconds where nothing else runs. */
const RELOADS_MS = 120_000;
const CLIENTS = 64;
const APPLIED = ['portcullis_config_reloads_total', 'result="applied"'] as const;
const REFUSED = ['portcullis_config_reloads_total', 'result="refused"'] as const;

const origin = await httpOrigin((_, response) => response.end('ok'));
const [servers, partners] = [await authority('servers'), await authority('partners')];
const front = await startFront(
  {
    'api.test': { origin: origin.url },
    'other.test': { origin: origin.url, tls: { certificate: 'other.pem', key: 'other.key' } },
  },
  { issuer: servers, files: { 'partners.pem': partners.pem, ...(await certificate('other.test', 'other')) } },
);
const { gateway, hosts } = front;
const block = (path: string) => ({
  rules: [{ name: 'closed', expression: `http.request.uri.path eq "${path}"`, action: 'block' }],
});

test('a rule that changed bites on the next request of an open connection: file change', async () => {
  const client = await connect(front.caller('api.test'));
  expect((await get(client, '/a')).status).toBe(200);
  await applied(() => gateway.writeConfig(block('/a')));
  const refused = await get(client, '/a');
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([403, 'rules.closed']);
  expect((await get(client, '/b')).status).toBe(200);
});

test('the same by SIGHUP', async () => {
  const client = await connect(front.caller('api.test'));
  await applied(() => {
    gateway.writeConfig(block('/b'));
    gateway.signal('SIGHUP');
  });
  expect((await get(client, '/b')).status).toBe(403);
  expect((await get(client, '/a')).status).toBe(200);
});

test('the same through the admin port, which tells when it is done', async () => {
  const client = await connect(front.caller('api.test'));
  gateway.writeConfig(block('/c'));
  const answer = await reload();
  expect(answer).toMatchObject({ status: 200, body: { generation: expect.any(Number) } });
  expect((await get(client, '/c')).status).toBe(403);
  expect(await gateway.count('portcullis_snapshot_generation')).toBe(answer.body.generation);
});

test('a broken configuration is refused whole, with its place, and the one before goes on', async () => {
  const client = await connect(front.caller('api.test'));
  gateway.writeConfig(block('/d'));
  await reload();
  const refusals = await gateway.count(...REFUSED);
  gateway.writeConfig({
    ...block('/e'),
    rules: [...block('/e').rules, { name: 'broken', expression: 'http.hots eq "x"', action: 'block' }],
  });
  const answer = await reload();
  expect(answer.status).toBe(422);
  const [problem] = answer.body.problems;
  expect(problem).toMatchObject({ severity: 'problem', file: gateway.configFile, line: expect.any(Number) });
  expect(problem.message).toContain('http.hots');
  expect(await gateway.count('portcullis_config_last_reload_successful')).toBe(0);
  expect(await gateway.count(...REFUSED)).toBeGreaterThan(refusals);
  expect([(await get(client, '/d')).status, (await get(client, '/e')).status]).toEqual([403, 200]);

  gateway.writeConfig(block('/e'));
  expect((await reload()).status).toBe(200);
  expect(await gateway.count('portcullis_config_last_reload_successful')).toBe(1);
  expect([(await get(client, '/d')).status, (await get(client, '/e')).status]).toEqual([200, 403]);
});

test.each([
  ['is not YAML', '{ listen: '],
  ['is empty', ''],
])('a configuration that %s is refused', async (_, text) => {
  writeFileSync(gateway.configFile, text);
  expect((await reload()).status).toBe(422);
  expect((await get(await connect(front.caller('api.test')), '/')).status).toBe(200);
  gateway.writeConfig({});
  expect((await reload()).status).toBe(200);
});

test('a certificate renewed under the same path is shown to new connections, and open ones are answered', async () => {
  const caller = front.caller('other.test');
  const before = await connect(caller);
  const renewed = await certificate('other.test', 'other');
  await applied(() => replace(renewed));
  const after = await connect(caller);
  expect(serial(after)).not.toBe(serial(before));
  const last = await get(before, '/', 'other.test');
  expect([last.status, last.headers.connection], 'its thread drains').toEqual([200, 'close']);
  expect((await get(after, '/', 'other.test')).status).toBe(200);
});

test('the certificate for clients without SNI is renewed without a lost request', async () => {
  const client = await connect(front.caller('api.test'));
  expect((await get(client, '/')).status).toBe(200);
  const renewed = await certificate('api.test', 'server');
  await applied(() => replace(renewed));
  await until(async () => serial(await connect(front.caller('api.test'))) !== serial(client));
  // Fresh threads serve; the old connection may be told to end, but with an answer.
  expect((await get(client, '/')).status).toBe(200);
});

test('a host that is added is served under its own certificate, and one that is removed is not', async () => {
  const added = { ...hosts['api.test'], tls: { certificate: 'new.pem', key: 'new.key' } };
  replace(await certificate('new.test', 'new'));
  gateway.writeConfig({ hosts: { ...hosts, 'new.test': added } });
  expect((await reload()).status).toBe(200);
  const client = await connect(front.caller('new.test'));
  expect((await get(client, '/', 'new.test')).status).toBe(200);
  expect(client.socket.getPeerX509Certificate()?.subjectAltName).toContain('new.test');

  gateway.writeConfig({});
  expect((await reload()).status).toBe(200);
  const gone = await get(client, '/', 'new.test');
  expect([gone.status, JSON.parse(gone.body).reason]).toEqual([421, 'http.unknown_host']);
});

test('an authority that is taken away is not trusted on connections that are open', async () => {
  const identity = await partners.client('partner-1');
  const trusting = {
    authorities: { devices: { certificates: 'devices.pem' }, partners: { certificates: 'partners.pem' } },
  };
  const both = { ...hosts['api.test'], mtls: { mode: 'require', trust: ['devices', 'partners'] } };
  gateway.writeConfig({ ...trusting, hosts: { ...hosts, 'api.test': both } });
  expect((await reload()).status).toBe(200);
  const client = await connect(front.caller('api.test', identity));
  expect((await get(client, '/')).status).toBe(200);
  gateway.writeConfig({ ...trusting });
  expect((await reload()).status).toBe(200);
  const refused = await get(client, '/');
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([403, 'mtls.untrusted']);
  gateway.writeConfig({});
  expect((await reload()).status).toBe(200);
});

test(
  `${RELOADS} reloads under load lose no request and reset no connection`,
  async () => {
    const load = await Load.of(CLIENTS, () => connect(front.caller('api.test')), { reconnects: false });
    for (let turn = 0; turn < RELOADS; turn++) {
      gateway.writeConfig(block(`/turn-${turn}`));
      expect((await reload()).status).toBe(200);
    }
    const { answered, faults } = await load.stop();
    expect(faults).toEqual([]);
    expect(answered).toBeGreaterThan(CLIENTS * 10);
    const last = await get(await connect(front.caller('api.test')), `/turn-${RELOADS - 1}`);
    expect(last.status).toBe(403);
  },
  RELOADS_MS,
);

test('edge threads replaced under load lose no request', async () => {
  const replaced = () => gateway.count('portcullis_edge_replacements_total');
  const before = await replaced();
  const load = await Load.of(16, () => connect(front.caller('api.test')), { reconnects: true });
  for (let turn = 0; turn < 5; turn++) {
    gateway.writeConfig({ inspect: { inlineBytes: turn + 1 } });
    expect((await reload()).status).toBe(200);
  }
  const { faults, answered } = await load.stop();
  expect(faults).toEqual([]);
  expect(answered).toBeGreaterThan(16);
  expect(await replaced()).toBe(before + 10);
});

/** Clients that ask one request after the other, each on its own connection. */
class Load {
  #running = true;
  #answered = 0;
  readonly #faults: string[] = [];
  #ends: Promise<unknown>[] = [];

  /** `reconnects`: a client whose answer said `Connection: close` goes on with a new connection. */
  static async of(count: number, connecting: () => Promise<RawClient>, { reconnects }: { reconnects: boolean }) {
    const load = new Load();
    const clients = await Promise.all(Array.from({ length: count }, connecting));
    load.#ends = clients.map(client => load.#ask(client, connecting, reconnects));
    atTheEnd(() => load.stop());
    return load;
  }

  async stop(): Promise<{ answered: number; faults: string[] }> {
    this.#running = false;
    await Promise.all(this.#ends);
    return { answered: this.#answered, faults: this.#faults };
  }

  async #ask(first: RawClient, connecting: () => Promise<RawClient>, reconnects: boolean): Promise<void> {
    let client = first;
    try {
      while (this.#running) {
        const { status, headers } = await get(client, '/');
        this.#answered++;
        if (status !== 200) this.#faults.push(`status ${status}`);
        if (headers.connection !== 'close') continue;
        if (!reconnects) throw new Error('told to close');
        client.close();
        client = await connecting();
      }
    } catch (error) {
      this.#faults.push((error as Error).message);
    }
    client.close();
  }
}

function get(client: RawClient, path: string, host = 'api.test') {
  return client.ask(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}

async function reload() {
  const answer = await gateway.ask('/admin/v1/reload', { method: 'POST' });
  return { status: answer.status, body: await answer.json() };
}

/** Makes a change, and waits until the gateway has taken one up by itself. */
async function applied(change: () => void): Promise<void> {
  const before = await gateway.count(...APPLIED);
  change();
  await gateway.counted(APPLIED[0], before + 1, APPLIED[1]);
}

/** Files of a new certificate. */
async function certificate(host: string, name: string): Promise<Record<string, string>> {
  const identity: Identity = await servers.server([host]);
  return { [`${name}.pem`]: identity.cert, [`${name}.key`]: identity.key };
}

/** As certificate tools do it: a new file takes the old one's name. */
function replace(files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    const fresh = join(gateway.folder, `.${name}`);
    writeFileSync(fresh, content, { mode: 0o600 });
    renameSync(fresh, join(gateway.folder, name));
  }
}

function serial(client: RawClient): string | undefined {
  return client.socket.getPeerX509Certificate()?.serialNumber;
}
