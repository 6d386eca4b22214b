import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Gateways are processes of their own: a test file is a process too, so that none shares state with another.
    pool: 'forks',
    // Most files wait for processes, sockets and timers: two at once also where there are only two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Starting a gateway takes a second; on two busy cores, several.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
