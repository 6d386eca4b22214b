// Connects, greets with a ClientHello of nothing but an unknown cipher suite, reads the alert, and connects again.
//
//     node greet.mjs PORT SECONDS     writes how many connections were answered

import { connect } from 'node:net';

const AT_ONCE = 64;
const ALERT = 0x15;

const [port, seconds] = process.argv.slice(2).map(Number);
const until = Date.now() + seconds * 1000;
let answered = 0;

/** RFC 8446, 4.1.2, as TLS 1.2: one cipher suite that nobody has, the name `localhost`. */
function greeting() {
  const name = Buffer.from('localhost');
  const extension = Buffer.concat([
    Buffer.from([0, 0, 0, name.length + 5, 0, name.length + 3, 0, 0, name.length]),
    name,
  ]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    Buffer.from([0, 0, 2, 0xfe, 0xfe, 1, 0, 0, extension.length]),
    extension,
  ]);
  return Buffer.concat([Buffer.from([22, 3, 1, 0, body.length + 4, 1, 0, 0, body.length]), body]);
}

const HELLO = greeting();

async function one() {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.on('connect', () => socket.write(HELLO));
    socket.on('data', bytes => {
      if (bytes[0] !== ALERT) reject(new Error('something else than an alert came'));
      answered += 1;
      socket.resetAndDestroy();
    });
    socket.on('close', resolve);
    socket.on('error', () => {});
  });
}

async function again() {
  while (Date.now() < until) await one();
}

await Promise.all(Array.from({ length: AT_ONCE }, again));
process.stdout.write(`${answered}\n`);
