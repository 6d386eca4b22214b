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

export const about = `from the word of an operator to the refusal of ${CONNECTIONS} live connections, over two gateways that share a store: a certificate on hold, its partner suspended, an API key revoked (to reach: p99 of 1 s)`;

export const absent = onlyPortcullis;

// Of one operation, so that the others are what they are in every scenario.
const CREDENTIALS = {
  keys: [{ header: 'X-API-Key' }],
  require: { certificate: true },
  operations: { 'read-customers': { require: { keys: true } } },
};
const HOLD = 'certificate on hold';
const ORDER = { path: '/orders/1', headers: {} };

export async function run(place) {
  const store = join(place.folder, 'revocation-state');
  process.env.PORTCULLIS_STORE_KEY = randomBytes(32).toString('base64');
  const gateways = [];
  for (const called of ['portcullis-1', 'portcullis-2']) {
    gateways.push(
      await portcullis.start(place, { called, store: { folder: store }, host: { credentials: CREDENTIALS } }),
    );
  }
  const token = /pct_\S+/.exec(gateways[0].program.err)?.[0];
  if (token === undefined) throw new Error('the first gateway printed no token');
  const change = (path, body, expected = 200) => changed(gateways[0], token, path, body, expected);
  const rows = [];
  for (const [what, ways] of Object.entries(await credentials(place, change))) {
    const samples = [];
    for (let turn = 1; turn <= place.rounds; turn++) {
      const sample = await measure(place, gateways, await ways());
      samples.push(sample);
      place.say(`  ${what}, round ${turn}: p50 ${sample.p50_ms} ms, p99 ${sample.p99_ms} ms, last ${sample.max_ms} ms`);
    }
    rows.push(row(what, samples));
  }
  for (const gateway of gateways) await gateway.program.stop();
  delete process.env.PORTCULLIS_STORE_KEY;
  return rows;
}

/** What is taken back, each time: what requests come with, how it is taken back, and how it is given back. */
async function credentials(place, change) {
  const fingerprint = createHash('sha256')
    .update(new X509Certificate(readFileSync(place.pki.client)).raw)
    .digest('hex');
  const hold = action => () => change('/pki/revocations', { fingerprint, action });
  return {
    [HOLD]: async () => ({ ask: ORDER, takeBack: hold('hold'), giveBack: hold('restore') }),
    'partner suspended': async () => {
      const partner = { name: 'bench', owner: 'bench', contact: 'bench', certificates: [{ fingerprint }] };
      await change('/partners', partner, [201, 409]);
      return {
        ask: ORDER,
        takeBack: () => change('/partners/bench/suspend', { why: 'bench' }),
        giveBack: () => change('/partners/bench/resume'),
      };
    },
    'key revoked': async () => {
      const { id, key } = await change('/keys', { name: 'bench' }, 201);
      // The second gateway knows it by then.
      await sleep(1_000);
      return {
        ask: { path: '/customers/1', headers: { 'X-API-Key': key } },
        takeBack: () => change(`/keys/${id}/revoke`, {}),
        giveBack: async () => {},
      };
    },
  };
}

async function measure(place, gateways, { ask, takeBack, giveBack }) {
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, index) => Client.open(place, gateways[index % gateways.length].port, ask)),
  );
  for (const [index, client] of clients.entries()) client.ask((index / CONNECTIONS) * ASK_MS);
  // All of them have been answered by then, and go on.
  await sleep(ASK_MS * 4);
  const started = performance.now();
  await takeBack();
  await Promise.race([Promise.all(clients.map(client => client.refused)), sleep(GIVE_UP_MS)]);
  for (const client of clients) client.socket.destroy();
  await giveBack();
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

  static open(place, port, { path, headers }) {
    return new Promise((resolve, reject) => {
      const client = new Client();
      const fields = Object.entries({ Host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
      client.text = `GET ${path} HTTP/1.1\r\n${fields.join('')}\r\n`;
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
    this.#timer = setTimeout(() => this.socket.write(this.text), afterMs);
  }

  #answered(text, done) {
    const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
    if (status === '200') {
      this.passed += 1;
      this.ask(ASK_MS);
    } else if ((status === '403' || status === '401') && !this.refusedAt) {
      clearTimeout(this.#timer);
      this.refusedAt = performance.now();
      this.closing = /^connection: close/im.test(text);
      done();
    }
  }
}

async function changed({ admin }, token, path, body, expected) {
  const headers = {
    authorization: `Bearer ${token}`,
    'if-match': '*',
    ...(body && { 'content-type': 'application/json' }),
  };
  const { status, text } = await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: admin, method: 'POST', path: `/admin/v1${path}`, headers };
    const asked = request(options, answer => {
      let text = '';
      answer.setEncoding('utf8').on('data', piece => {
        text += piece;
      });
      answer.once('end', () => resolve({ status: answer.statusCode, text }));
    });
    asked.once('error', reject);
    asked.end(body && JSON.stringify(body));
  });
  if (![expected].flat().includes(status)) throw new Error(`the admin API answers ${status} at ${path}: ${text}`);
  return JSON.parse(text);
}

function row(what, samples) {
  const column = of => samples.map(each => each[of]);
  return {
    scenario: name,
    gateway: portcullis.name,
    what,
    rps: null,
    p50_ms: median(column('p50_ms')),
    p99_ms: median(column('p99_ms')),
    cpu_us: null,
    connections: CONNECTIONS,
    p99_ms_range: range(column('p99_ms')),
    max_ms: median(column('max_ms')),
    // Whoever was not refused makes the figure worthless. A certificate is all of a connection, which has to close too.
    valid: samples.every(each => each.refused === CONNECTIONS && (what !== HOLD || each.closed === CONNECTIONS)),
    samples,
  };
}
