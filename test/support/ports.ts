import { type AddressInfo, createServer } from 'node:net';
import { type Bound, bind } from '../../src/manage/port.js';

/** A TCP port on which nothing listens. Nobody keeps it free: bind it at once. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** A socket on a port of its own, for a server to listen on. */
export function anySocket(): Promise<Bound> {
  return bind({ address: '127.0.0.1', port: 0 }, 'a test');
}
