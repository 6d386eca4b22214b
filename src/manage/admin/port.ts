// The admin port and who keeps its door, for as long as the gateway lives. A reload may open another port behind it.

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { loopback } from '../../config/units.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { TakeSocket } from '../supervision.js';
import type { Api } from './api.js';
import { certificatesOf, type Judge } from './certificates.js';
import type { AdminPlan } from './compile.js';
import { Failures } from './failures.js';
import { firstToken, introduced } from './first-token.js';
import { type Managed, routes } from './routes.js';
import { type AdminServer, prepareAdmin } from './server.js';
import { Tokens } from './tokens.js';

export interface Behind {
  gateway: Managed;
  store: Store;
  log: Log;
  judge: Judge;
  /** One more failed authentication, for the metric. */
  counted(why: string): void;
  takeSocket: TakeSocket;
  /** Each capability's own operations. */
  capabilities: readonly ((api: Api) => void)[];
}

export interface Opening {
  settle(): Promise<void>;
  abandon(): Promise<void>;
}

export class AdminPort {
  readonly #behind: Behind;
  readonly #tokens: Tokens;
  readonly #failures: Failures;
  #server: AdminServer | null = null;

  constructor(behind: Behind) {
    this.#behind = behind;
    this.#tokens = new Tokens(behind.store);
    this.#failures = new Failures(behind.log);
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /**
   * Gets ready to listen as the plan says; `clientAuthorities` are the certificates of those that it trusts, PEM.
   * `settle` makes it final; until then the port before goes on, and `abandon` leaves it at that. Rejects with a
   * sentence when the address is taken.
   */
  async open(plan: AdminPlan, clientAuthorities: string[]): Promise<Opening> {
    const { address, port, tls, clients } = plan;
    const { takeSocket, log } = this.#behind;
    const app = routes({
      ...this.#behind,
      tokens: this.#tokens,
      failures: this.#failures,
      certificates: certificatesOf(clients, this.#behind.judge),
      remote: !loopback(address),
      scheme: tls ? 'https' : 'http',
      ours: namesOf(plan),
    });
    const { listen } = prepareAdmin(app, tls && { ...tls, clientAuthorities: clients ? clientAuthorities : null });
    const { handle, port: settled } = await takeSocket({ what: 'listen.admin', address, port, shared: false });
    if (handle === null) throw new Error('there is no socket for the admin port');
    const settle = async () => {
      const before = this.#server;
      try {
        this.#server = await listen({ handle, port: settled });
      } catch (error) {
        if (before === null) throw error;
        // Everything else of the configuration is in force by now.
        log.error({ error: (error as Error).message }, 'the admin port stays where it was');
        return;
      }
      // Both listened for a moment, so that no connection is refused. The answer to a reload may still be on its way.
      void before?.close();
    };
    return { settle, abandon: async () => handle.close() };
  }

  /** Shows the first token of an empty store on standard error, once and past the log. */
  async introduce(): Promise<void> {
    const token = await firstToken(this.#behind.store);
    if (token !== null) process.stderr.write(introduced(token));
  }

  /** Another process answers from now on. */
  retire(): void {
    this.#server?.retire();
  }

  async close(): Promise<void> {
    await this.#server?.close();
    this.#failures.close();
    await this.#tokens.close();
  }
}

/** By which names beside loopback's the port may be called. */
function namesOf({ address, tls, hosts }: AdminPlan): (name: string) => boolean {
  if (!tls || loopback(address)) return name => hosts.includes(name);
  const certificate = new X509Certificate(tls.certificate);
  const covers = (name: string) => (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
  return name => hosts.includes(name) || (certificate.subjectAltName !== undefined && covers(name));
}
