// Names that a configuration uses, looked up in what there is.

import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import { suggest } from '../../config/suggest.js';
import type { Alternative } from './alternatives.js';

export class Names {
  constructor(
    private readonly host: {
      /** Those that count on this host. */
      configurations: readonly string[];
      /** Also those with problems of their own. */
      allConfigurations: readonly string[];
      authorities: readonly string[];
      trusted: readonly string[] | null;
    },
    private readonly loading: Loading,
  ) {}

  /** What is written for one alternative, without its scopes, roles and claims. */
  alternative(
    {
      jwt,
      keys,
      certificate,
    }: { jwt?: true | string[] | undefined; keys?: true | undefined; certificate?: true | string[] | undefined },
    at: string,
  ): Alternative | null {
    if (jwt === undefined && keys === undefined && certificate === undefined) {
      this.loading.problem(at, 'this names no credential', {
        hint: '`jwt`, `keys`, `certificate`, or several of them',
      });
      return null;
    }
    const configurations = jwt && this.configurations(jwt, child(at, 'jwt'));
    const authorities = certificate && this.#authorities(certificate, child(at, 'certificate'));
    if (configurations === null || authorities === null) return null;
    return {
      token: configurations === undefined ? null : { configurations, scopes: [], roles: [], claims: [] },
      key: keys ? { scopes: [], locations: [] } : null,
      certificate: authorities === undefined ? null : { authorities },
    };
  }

  /** null: some of them are not there, which is told. */
  configurations(written: true | readonly string[], at: string): string[] | null {
    const { configurations, allConfigurations } = this.host;
    if (written === true) {
      if (configurations.length > 0) return [...configurations];
      this.loading.problem(at, 'no token configuration counts on this host', {
        hint: 'describe the issuer under `jwt`',
      });
      return null;
    }
    const good = written.filter((name, index) => {
      const place = written.length > 1 ? child(at, index) : at;
      if (!allConfigurations.includes(name)) {
        const meant = suggest(name, allConfigurations);
        const hint = meant ? `did you mean \`${meant}\`?` : 'describe it under `jwt`';
        this.loading.problem(place, `no token configuration is called \`${name}\``, { hint });
        return false;
      }
      if (configurations.includes(name)) return true;
      this.loading.problem(place, `tokens of \`${name}\` do not count on this host`, {
        hint: "add it to the host's `credentials.jwt`",
      });
      return false;
    });
    return good.length === written.length ? [...new Set(good)] : null;
  }

  #authorities(written: true | readonly string[], at: string): string[] | null {
    const { authorities, trusted } = this.host;
    if (trusted === null) {
      this.loading.problem(at, 'this host looks at no client certificate', {
        hint: '`mtls: { mode: request, trust: [...] }` looks at them without demanding any',
      });
      return null;
    }
    if (written === true) return [];
    const good = written.filter((name, index) => {
      const place = written.length > 1 ? child(at, index) : at;
      if (trusted.includes(name)) return true;
      if (authorities.includes(name)) {
        this.loading.problem(place, `this host does not trust \`${name}\``, {
          hint: "add it to the host's `mtls.trust`",
        });
      } else {
        const meant = suggest(name, authorities);
        const hint = meant ? `did you mean \`${meant}\`?` : 'describe it under `authorities`';
        this.loading.problem(place, `no authority is called \`${name}\``, { hint });
      }
      return false;
    });
    return good.length === written.length ? [...new Set(good)] : null;
  }
}
