import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { onlyPortcullis } from '../beside.mjs';
import { median, range } from '../report.mjs';
import * as portcullis from '../rivals/portcullis.mjs';

export const name = 'revocation';

const CONNECTIONS = 1_000;
// Each asks this often: 4,000 requests a second in all, and the figure is never finer.
const ASK_MS = 250;
// Below what the gateways close idle connections after.
const GIVE_UP_MS = 8_000;

export const about = `from a revocation to the refusal of ${CONNECTIONS} live connections, over two gateways that share a store (to reach: p99 of 1 s)`;

export const absent = onlyPortcullis;

export async function run(place) {
  const store = join(place.folder, 'revocation-state');
  process.env.PORTCULLIS_STORE_KEY = randomBytes(32).toString('base64');
  const gateways = [];
  for (const called of ['portcullis-1', 'portcullis-2']) {
    gateways.push(await portcullis.start(place, { called, store: { folder: store } }));
  }
  const token = /pct_\S+/.exec(gateways[0].program.err)?.[0];
  if (token === undefined) throw new Error('the first gateway printed no token');
  const samples = [];
  for (let turn = 1; turn <= place.rounds; turn++) {
    const sample = await measure(place, gateways, token);
    samples.push(sample);
    place.say(`  round ${turn}: p50 ${sample.p50_ms} ms, p99 ${sample.p99_ms} ms, last ${sample.max_ms} ms`);
  }
  for (const gateway of gateways) await gateway.program.stop();
  delete process.env.PORTCULLIS_STORE_KEY;
  return [row(samples)];
}

async function measure(place, gateways, token) {
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, index) => Client.open(place, gateways[index % gateways.length].port)),
  );
  for (const [index, client] of clients.entries()) client.ask((index / CONNECTIONS) * ASK_MS);
  // All of them have been answered by then, and go on.
  await sleep(ASK_MS * 4);
  const fingerprint = createHash('sha256')
    .update(new X509Certificate(readFileSync(place.pki.client)).raw)
    .digest('hex');
  const started = performance.now();
  await change(gateways[0], token, { fingerprint, action: 'hold' });
  await Promise.race([Promise.all(clients.map(client => client.refused)), sleep(GIVE_UP_MS)]);
  for (const client of clients) client.socket.destroy();
  await change(gateways[0], token, { fingerprint, action: 'restore' });
  await sleep(1_000);
  const times = clients.flatMap(client => (client.refusedAt ? [client.refusedAt - started] : [])).sort((a, b) => a - b);
  const at = share => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? GIVE_UP_MS);
  return {
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    max_ms: at(1),
    refused: times.length,
    closed: clients.filter(client => client.closing).length,
    passed: clients.reduce((sum, client) => sum + client.passed, 0),
  };
}

/** A kept-alive connection that asks again and again until it is refused. */
class Client {
  passed = 0;
  refusedAt = 0;
  closing = false;
  #timer;

  static open(place, port) {
    return new Promise((resolve, reject) => {
      const client = new Client();
      const [ca, cert, key] = [place.pki.serverCa, place.pki.client, place.pki.clientKey].map(file =>
        readFileSync(file),
      );
      client.socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, cert, key }, () =>
        resolve(client),
      );
      client.socket.once('error', reject);
      client.refused = new Promise(done => {
        client.socket.on('data', piece => client.#answered(piece.toString('latin1'), done));
        client.socket.on('close', () => done());
      });
    });
  }

  ask(afterMs) {
    this.#timer = setTimeout(() => this.socket.write('GET /orders/1 HTTP/1.1\r\nHost: localhost\r\n\r\n'), afterMs);
  }

  #answered(text, done) {
    const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
    if (status === '200') {
      this.passed += 1;
      this.ask(ASK_MS);
    } else if (status === '403' && !this.refusedAt) {
      clearTimeout(this.#timer);
      this.refusedAt = performance.now();
      this.closing = /^connection: close/im.test(text);
      done();
    }
  }
}

async function change({ admin }, token, body) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const status = await new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: admin, method: 'POST', path: '/admin/v1/pki/revocations', headers },
      answer => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode));
      },
    );
    asked.once('error', reject);
    asked.end(JSON.stringify(body));
  });
  if (status !== 200) throw new Error(`the admin API answers ${status}`);
}

function row(samples) {
  const column = of => samples.map(each => each[of]);
  return {
    scenario: name,
    gateway: portcullis.name,
    rps: null,
    p50_ms: median(column('p50_ms')),
    p99_ms: median(column('p99_ms')),
    cpu_us: null,
    connections: CONNECTIONS,
    p99_ms_range: range(column('p99_ms')),
    max_ms: median(column('max_ms')),
    // Whoever was not refused, or whose connection stayed open, makes the figure worthless.
    valid: samples.every(each => each.refused === CONNECTIONS && each.closed === CONNECTIONS),
    samples,
  };
}
