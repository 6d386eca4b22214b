import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Suites of one capability each that only ask, and so hold of both doors. Left out: `keys` and `load`, which take long
 * and would find little that these do not, and what starts edge threads without an acceptor.
 */
const BOTH_DOORS = [
  ...['certificates-forwarded', 'credentials', 'forwarding', 'forwarding-large', 'identity', 'jwt', 'limits'],
  ...[
    'limits-answers',
    'limits-callers',
    'mtls-rules',
    'origin-faults',
    'records',
    'responses',
    'revocation',
    'rules',
    'schema',
  ],
];

/** Suites that hold how long a call takes against a bound: what runs beside them would be measured too. */
const ALONE = ['test/e2e/http2-abuse.test.ts'];

export default defineConfig({
  test: {
    // Gateways are processes of their own: a test file is a process too, so that none shares state with another.
    pool: 'forks',
    // Most files wait for processes, sockets and timers: two at once also where there are only two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Starting a gateway takes a second; on two busy cores, several.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'all', include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, ...ALONE] },
      },
      {
        extends: true,
        test: {
          name: 'by HTTP/2',
          include: BOTH_DOORS.map(suite => `test/e2e/${suite}.test.ts`),
          env: { PORTCULLIS_DOOR: 'h2' },
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});
