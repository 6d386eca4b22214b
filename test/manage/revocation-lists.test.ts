// Revocation lists of brought authorities at run time: uploaded, fetched by one process of a fleet, and refused loudly.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { RevocationMetrics } from '../../src/journal/metrics/revocation.js';
import type { BroughtAuthority } from '../../src/manage/pki/brought.js';
import { Fetching } from '../../src/manage/pki/fetching.js';
import { derOf, Lists } from '../../src/manage/pki/lists.js';
import { listRoutes } from '../../src/manage/pki/lists-routes.js';
import type { Store } from '../../src/manage/store/open.js';
import { adminApi } from '../support/admin.js';
import { atTheEnd } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const HOUR_MS = 3_600_000;
const KEY = 'ab'.repeat(32);

describeStores('revocation lists', newPlace => {
  test('one that is uploaded is in force in every process, and after a restart', async () => {
    const place = await newPlace();
    const [engine, other, later] = [new Engine(), new Engine(), new Engine()];
    const lists = await process(await place.open(), engine);
    await process(await place.open(), other);
    const admin = await adminApi({ place, capabilities: [api => listRoutes(api, lists)] });
    const put = (body: string, name = 'partners') =>
      admin.ask('PUT', `/pki/authorities/${name}/revocation-list`, body, {
        headers: { 'content-type': 'application/pkix-crl' },
      });
    expect(await put(list({ number: 1 }))).toMatchObject({
      status: 200,
      body: { key_id: KEY, number: '1', serials: 0 },
    });
    await until(() => other.numberOf('partners') === 1, 1_000);
    await process(await place.open(), later);
    expect(later.numberOf('partners')).toBe(1);

    expect((await put(list({ number: 1 }))).status).toBe(409);
    expect((await put(list({ number: 2, signer: 'stranger' }))).body.title).toContain('signature');
    expect((await put('nonsense')).status).toBe(422);
    expect((await put(list({ number: 2 }), 'nobody')).status).toBe(404);
    expect(engine.numberOf('partners')).toBe(1);
    const entries = await admin.store.db.selectFrom('audit').select(['action', 'target']).execute();
    expect(entries).toEqual([{ action: 'pki.revocation-list.upload', target: 'partners' }]);
  });

  test('a list that is too large is refused before it is read', async () => {
    const place = await newPlace();
    const lists = await process(await place.open(), new Engine());
    const admin = await adminApi({ place, capabilities: [api => listRoutes(api, lists)] });
    const headers = { 'content-type': 'application/pkix-crl', 'content-length': String(65 * 2 ** 20) };
    const answer = await admin.ask('PUT', '/pki/authorities/partners/revocation-list', 'x', { headers });
    expect(answer.status).toBe(413);
  });

  test('an authority that appears with a reload gets the lists that were kept for it', async () => {
    const place = await newPlace();
    const engine = new Engine();
    const lists = await process(await place.open(), engine);
    await lists.keep('partners', Buffer.from(list({ number: 3 })), loadedOf(list({ number: 3 })), {
      source: 'uploaded',
    });
    await lists.adopt([]);
    await lists.adopt([brought('partners')]);
    expect(engine.numberOf('partners')).toBe(3);
  });

  test('of two processes one fetches, ahead of the end of the list, and both enforce it', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    let number = 1;
    const point = await serve((_, response) => response.end(list({ number, now: clock.now() })));
    const [one, two] = [new Engine(), new Engine()];
    const fleet = [
      (await fetcher(await place.open(), one, clock)).fetching,
      (await fetcher(await place.open(), two, clock)).fetching,
    ];
    for (const fetching of fleet) fetching.seen('partners', [point.url]);
    await clock.advance(0, fleet);
    await until(() => one.numberOf('partners') === 1 && two.numberOf('partners') === 1, 2_000);
    expect(point.asked).toBe(1);

    // Life of the list: 24 h. Before two thirds of it nobody asks, some time after somebody has.
    number = 2;
    await clock.advance(14 * HOUR_MS, fleet);
    expect(point.asked).toBe(1);
    await clock.advance(4 * HOUR_MS, fleet);
    await until(() => one.numberOf('partners') === 2 && two.numberOf('partners') === 2, 2_000);
    expect(point.asked).toBe(2);
  });

  test('where the other side has validators, asking whether there is a newer one costs no body', async () => {
    const clock = new FakeClock();
    const point = await serve((request, response) => {
      response.setHeader('ETag', '"v1"');
      if (request.headers['if-none-match'] === '"v1"') response.writeHead(304).end();
      else response.end(list({ number: 1, now: clock.now() }));
    });
    const engine = new Engine();
    const { fetching, text } = await fetcher(await (await newPlace()).open(), engine, clock, [point.url]);
    await fetching.tick();
    await until(() => engine.numberOf('partners') === 1);
    await clock.advance(2 * HOUR_MS, [fetching]);
    await until(async () => point.asked >= 2 && (await text()).includes('result="unchanged"'));
    expect(engine.loads).toBe(1);
  });

  test.each([
    ['wrongly signed', (now: number) => list({ number: 2, now, signer: 'stranger' })],
    ['a delta', (now: number) => list({ number: 2, now, delta: true })],
    ['malformed', () => 'not a list'],
  ])('a list that is %s keeps the last good one, loudly, and is tried again', async (_, bad) => {
    const clock = new FakeClock();
    let broken = false;
    const point = await serve((_request, response) =>
      response.setHeader('ETag', String(broken)).end(broken ? bad(clock.now()) : list({ number: 1, now: clock.now() })),
    );
    const engine = new Engine();
    const { fetching, text, told } = await fetcher(await (await newPlace()).open(), engine, clock, [point.url]);
    await fetching.tick();
    await until(() => engine.numberOf('partners') === 1);
    broken = true;
    await clock.advance(2 * HOUR_MS, [fetching]);
    await until(async () => (await text()).includes('kind="crl",result="refused"'));
    expect(engine.numberOf('partners')).toBe(1);
    expect(told().filter(line => line.includes('was refused; the one in force stays')).length).toBeGreaterThan(0);
    const before = point.asked;
    await clock.advance(2 * HOUR_MS, [fetching]);
    expect(point.asked).toBeGreaterThan(before);
  });

  test('a point that is down is asked again, with patience', async () => {
    const clock = new FakeClock();
    const point = await serve((_, response) => response.writeHead(503).end());
    const { fetching, text } = await fetcher(await (await newPlace()).open(), new Engine(), clock, [point.url]);
    for (let turn = 0; turn < 20; turn++) await clock.advance(0.5 * HOUR_MS, [fetching]);
    expect(point.asked).toBeGreaterThan(5);
    expect(point.asked).toBeLessThan(25);
    expect(await text()).toContain('result="failed"');
  });

  test('a clock that jumps ahead and back stops nothing', async () => {
    const clock = new FakeClock();
    const point = await serve((_, response) => response.end(list({ number: point.asked, now: clock.now() })));
    const engine = new Engine();
    const { fetching } = await fetcher(await (await newPlace()).open(), engine, clock, [point.url]);
    await fetching.tick();
    await until(() => engine.numberOf('partners') === 1);
    clock.jump(10 * 365 * 24 * HOUR_MS);
    await clock.advance(20 * HOUR_MS, [fetching]);
    await until(() => engine.numberOf('partners') === 2);
    clock.jump(-10 * 365 * 24 * HOUR_MS);
    await clock.advance(30 * HOUR_MS, [fetching]);
    await until(() => point.asked >= 3);
  });

  test('what an unverified certificate names is not fetched, nor anything but http, nor more than some of one', async () => {
    const clock = new FakeClock();
    const point = await serve((_, response) => response.end(list({ number: 1, now: clock.now() })));
    const { fetching } = await fetcher(await (await newPlace()).open(), new Engine(), clock);
    fetching.seen('nobody', [point.url]);
    fetching.seen('partners', ['ldap://127.0.0.1/list', 'file:///etc/passwd']);
    await clock.advance(1_000, [fetching]);
    expect(point.asked).toBe(0);
    fetching.seen(
      'partners',
      Array.from({ length: 9 }, (_, index) => `${point.url}${index}`),
    );
    for (let turn = 0; turn < 10; turn++) await clock.advance(1_000, [fetching]);
    expect(point.asked).toBe(4);
  });
});

test('a list in PEM is kept as DER', () => {
  const der = Buffer.from('list');
  const pem = `-----BEGIN X509 CRL-----\n${der.toString('base64')}\n-----END X509 CRL-----\n`;
  expect(derOf(Buffer.from(pem))).toEqual(der);
  expect(derOf(der)).toEqual(der);
});

interface Written {
  number: number;
  now?: number;
  signer?: string;
  delta?: boolean;
}

/** As good as a list for the engine below. */
function list({ number, now = Date.now(), signer = KEY, delta = false }: Written): string {
  return JSON.stringify({ number, this_update: now, next_update: now + 24 * HOUR_MS, signer, delta });
}

function loadedOf(text: string) {
  const { number, this_update, next_update, signer } = JSON.parse(text);
  return {
    issuer: 'CN=partners',
    key_id: signer,
    number: String(number),
    this_update,
    next_update,
    serials: 0,
    replaced: true,
  };
}

/** What the engine does with lists, without its cryptography. */
class Engine {
  readonly kept = new Map<string, number>();
  loads = 0;

  async loadRevocationList(authority: string, bytes: Buffer): Promise<string> {
    const problem = (message: string) => JSON.stringify({ problem: { message, hint: 'another one' } });
    let written: Written;
    try {
      written = JSON.parse(bytes.toString());
    } catch {
      return problem('The list cannot be read.');
    }
    if (written.signer !== KEY) return problem("The list's signature is not valid.");
    if (written.delta) return problem('Delta lists are not taken.');
    const replaced = written.number > (this.kept.get(authority) ?? 0);
    if (replaced) this.kept.set(authority, written.number);
    this.loads += 1;
    return JSON.stringify({ ...loadedOf(bytes.toString()), replaced });
  }

  numberOf(authority: string): number | undefined {
    return this.kept.get(authority);
  }
}

function brought(name: string, urls: string[] = []): BroughtAuthority {
  const issuers = [{ pem: `${name}'s`, keyId: KEY, subject: `CN=${name}`, notAfter: Date.now() + HOUR_MS }];
  const revocation = { fetch: true, urls, ocsp: false, allowPrivateAddresses: true };
  return { name, certificates: '', intermediates: '', revocation, issuers };
}

async function process(store: Store, engine: Engine): Promise<Lists> {
  const lists = new Lists(store, engine, pino({ level: 'silent' }));
  await lists.adopt([brought('partners')]);
  lists.start();
  atTheEnd(() => lists.stop());
  return lists;
}

async function fetcher(store: Store, engine: Engine, clock: FakeClock, urls: string[] = []) {
  const lines: string[] = [];
  const log = pino({}, { write: line => void lines.push(line) });
  const registry = new Registry();
  const lists = new Lists(store, engine, log);
  await lists.adopt([brought('partners')]);
  lists.start();
  const fetching = new Fetching({ store, lists, log, tell: () => {}, metrics: new RevocationMetrics(registry), clock });
  fetching.adopt([brought('partners', urls)]);
  atTheEnd(() => {
    fetching.stop();
    lists.stop();
  });
  return { fetching, text: () => registry.metrics(), told: () => lines };
}

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const point = { url: '', asked: 0 };
  const server = createServer((request, response) => {
    point.asked += 1;
    answer(request, response);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  point.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return point;
}
