// npm start: from a fresh clone to a gateway that lets a client certificate through, and nothing without one.
//
// Nothing but Node is needed to get as far as saying what is missing: what comes from packages is imported after they
// are installed. The origin and the gateway are processes of their own; Ctrl-C ends the gateway first, so that what it
// has begun still finds its origin.

import { execFile, spawn } from 'node:child_process';
import { createWriteStream, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildOrExplain } from '../../.ci/build.mjs';
import { root } from '../../.ci/step.mjs';

const PORTS = [
  { port: 8443, of: 'the gateway' },
  { port: 9090, of: "the gateway's admin server", host: '127.0.0.1' },
  { port: 3000, of: 'the example origin', host: '127.0.0.1' },
];
const READY = 'http://127.0.0.1:9090/readyz';
/** A loaded machine starts the gateway in seconds; past this something is wrong. */
const READY_WITHIN_MS = 30_000;
/** More than the gateway's own bound for draining (`drain.grace`, 30 s unless configured). */
const STOP_WITHIN_MS = 35_000;

const CONFIG = 'examples/quickstart/portcullis.yaml';
const PKI = '.portcullis/pki';
const EVENTS = '.portcullis/events.ndjson';
/** The first token of the admin API, which the gateway shows once. */
const TOKEN = '.portcullis/token';
/** Exit code of a command whose token is not good (any more). */
const NOT_PERMITTED = 3;
/** A client certificate of the hosted authority. */
const LAPTOP = '.portcullis/laptop';

const children = [];
let stopping = false;

await start();

async function start() {
  if (!(await portsAreFree())) return fail();
  console.log('Preparing (the first start compiles for some minutes, later ones take seconds)');
  if (!(await buildOrExplain())) return fail();
  const { makePki } = await import('./pki.mjs');
  const made = await makePki(join(root, PKI));
  console.log(`  ${'certificates'.padEnd(12)} ${made ? `made in ${PKI}` : 'unchanged'}`);
  if (!(await portsAreFree())) return fail();

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));
  // However this process ends, its children do not stay behind.
  process.on('exit', () => {
    for (const one of children) one.kill('SIGTERM');
  });
  process.stdout.on('error', () => stop(1));
  const origin = child('origin', ['examples/quickstart/origin.mjs']);
  origin.stdout.resume();
  const gateway = child('gateway', ['dist/main.js', 'run', '--config', CONFIG], keepToken);
  showExchanges(gateway);
  if ((await isReady()) && (await issueToLaptop())) console.log(whatToType());
}

/** The line that shows the token goes into a file instead of a terminal's history. */
function keepToken(line) {
  const token = /^ +(pct_\S+)$/.exec(line)?.[1];
  if (token === undefined) return line.startsWith('The first token of the admin API') || line === '';
  save(token);
  return true;
}

function save(token) {
  writeFileSync(join(root, TOKEN), `${token}\n`, { mode: 0o600 });
}

/** What a user does for each device, done once; again before the certificate ends. False when it cannot be done. */
async function issueToLaptop() {
  const { daysLeft, RENEW_DAYS } = await import('./pki.mjs');
  if (daysLeft(join(root, LAPTOP, 'laptop.pem')) > RENEW_DAYS) return true;
  const issue = ['pki', 'issue', 'laptop', '--authority', 'devices', '--out', LAPTOP, '--force', '--token-file', TOKEN];
  let issued = existsSync(join(root, TOKEN)) ? await portcullis(issue) : { code: NOT_PERMITTED };
  if (issued.code === NOT_PERMITTED) {
    const recovered = await portcullis(['token', 'recover', '--config', CONFIG]);
    if (recovered.code === 0) save(recovered.out.trim());
    issued = recovered.code === 0 ? await portcullis(issue) : recovered;
  }
  if (issued.code === 0) return true;
  console.error(`A client certificate could not be issued:\n${printable(issued.err)}`);
  await stop(1);
  return false;
}

/** Runs a command to its end. */
function portcullis(args) {
  return new Promise(resolve => {
    execFile(process.execPath, ['dist/main.js', ...args], { cwd: root }, (error, out, err) =>
      resolve({ code: error ? error.code : 0, out, err }),
    );
  });
}

/** Names every port that is taken, before anything is started. */
async function portsAreFree() {
  const taken = [];
  for (const { port, host, of } of PORTS) if (!(await isFree(port, host))) taken.push({ port, of });
  for (const { port, of } of taken) {
    console.error(`Port ${port} is busy, and ${of} needs it: end the program that listens there, then start again.`);
  }
  return taken.length === 0;
}

function isFree(port, host) {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** In a process group of its own, so that Ctrl-C reaches only this process and the order of ending is ours. */
function child(name, args, taken = () => false) {
  const started = spawn(process.execPath, args, { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  started.ended = new Promise(resolve => started.once('close', (code, signal) => resolve(signal ?? code)));
  started.ended.then(how => {
    if (stopping) return;
    console.error(`\nThe ${name} ended by itself (${typeof how === 'number' ? `exit code ${how}` : how}).`);
    stop(1);
  });
  createInterface({ input: started.stderr }).on('line', line => {
    if (taken(line)) return;
    const said = logLine(line);
    if (said !== null) console.error(printable(said));
  });
  children.unshift(started);
  return started;
}

async function isReady() {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!stopping) {
    const answer = await fetch(READY, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    if (answer?.ok) return !stopping;
    if (Date.now() > deadline) {
      console.error(`The gateway did not become ready within ${READY_WITHIN_MS / 1000} s (${READY}).`);
      await stop(1);
      break;
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  return false;
}

function whatToType() {
  const curl = `curl --cacert ${PKI}/server-ca.pem`;
  const client = `--cert ${LAPTOP}/laptop.pem --key ${LAPTOP}/laptop.key`;
  const phone = '--cert .portcullis/phone/phone.pem --key .portcullis/phone/phone.key';
  const command = line => `node dist/main.js ${line} --token-file ${TOKEN}`;
  const post = body =>
    `${curl} ${client} -H 'content-type: application/json' -d '${body}' https://localhost:8443/orders`;
  return `
Portcullis is running. Type in another terminal, in this folder:

  # passes: a client certificate of the authority that the gateway keeps
  ${curl} ${client} https://localhost:8443/orders/1

  # refused with 403 mtls.missing: no client certificate
  ${curl} https://localhost:8443/orders/1

  # passes: an order as examples/quickstart/openapi.yaml describes it
  ${post('{"customer":"ada","lines":[{"sku":"LAMP-01","quantity":1}]}')}

  # refused with 400 schema.body: nobody orders nothing
  ${post('{"customer":"ada","lines":[{"sku":"LAMP-01","quantity":0}]}')}

  # refused with 403 rules.no-scanners
  ${curl} ${client} -A sqlmap https://localhost:8443/orders/1

  # a certificate for a phone
  ${command('pki issue phone --authority devices --out .portcullis/phone --force')}

  # passes: the phone
  ${curl} ${phone} https://localhost:8443/orders/1

  # the phone is lost
  ${command('pki revoke --subject CN=phone --reason keyCompromise --yes')}

  # refused with 403 mtls.revoked, from the next request on
  ${curl} ${phone} https://localhost:8443/orders/1

  # metrics
  curl http://127.0.0.1:9090/metrics

Configuration: examples/quickstart/portcullis.yaml (changes are picked up while it runs)
Each exchange is a line below, and its whole record one in ${EVENTS}. Ctrl-C ends everything.
`;
}

/** The gateway writes its records to standard output: all of each is kept in a file, its gist shown. */
function showExchanges(gateway) {
  const kept = createWriteStream(join(root, EVENTS), { flags: 'a', mode: 0o600 });
  kept.on('error', error => console.error(`${EVENTS}: ${error.message}`));
  createInterface({ input: gateway.stdout }).on('line', line => {
    kept.write(`${line}\n`);
    console.log(printable(gist(line)));
  });
}

function gist(line) {
  const record = parsed(line);
  if (!record?.EdgeResponseStatus) return line;
  const { EdgeStartTimestamp: at = '', EdgeResponseStatus: status, EdgeDurationUs: us = 0 } = record;
  const verdict = record.SecurityRuleID ? `${record.SecurityAction} ${record.SecurityRuleID}` : 'pass';
  const asked = `${record.ClientRequestMethod} ${record.ClientRequestPath}`;
  return `${at.slice(11, 23)}  ${status}  ${asked.padEnd(24)} ${(us / 1000).toFixed(1).padStart(6)} ms  ${verdict}`;
}

/** What the program says of itself, or null for what is no use to a reader. */
function logLine(line) {
  // uWebSockets.js prints these when a host is added; there is no switch for it.
  if (/^(finding |Browsed to SNI: )/.test(line)) return null;
  const entry = parsed(line);
  if (!entry?.msg) return line;
  if (entry.file) return `${entry.file}:${entry.line}:${entry.column}: ${entry.severity}: ${entry.message}`;
  return `${entry.part} ${entry.level}: ${entry.msg}${entry.error ? `: ${entry.error}` : ''}`;
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** What clients wrote must not steer the terminal. */
function printable(text) {
  return text.replace(/\p{Cc}/gu, '\u{fffd}');
}

/** Asks the gateway and then the origin to end, and waits for them. Asked again, it waits no longer. */
async function stop(code) {
  if (stopping) {
    for (const one of children) one.kill('SIGKILL');
    return;
  }
  stopping = true;
  if (code === 0) console.log('\nEnding ...');
  for (const one of children) {
    one.kill('SIGTERM');
    const late = setTimeout(() => one.kill('SIGKILL'), STOP_WITHIN_MS);
    await one.ended;
    clearTimeout(late);
  }
  process.exit(code);
}

function fail() {
  process.exitCode = 1;
}
