import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

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
      { extends: true, test: { name: 'all', include: ['test/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'by HTTP/2',
          include: BOTH_DOORS.map(suite => `test/e2e/${suite}.test.ts`),
          env: { PORTCULLIS_DOOR: 'h2' },
        },
      },
    ],
  },
});
