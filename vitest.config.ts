import { defineConfig } from 'vitest/config';

/** Tests of real processes start whole clusters: one file at a time, and more patience. */
const processTests = ['test/processes/**/*.test.ts', 'test/examples/**/*.test.ts', 'test/docs/commands.test.ts'];

export default defineConfig({
  test: {
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
          exclude: ['**/node_modules/**', ...processTests],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: processTests,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // After the others, so that nothing else takes the processor from clusters that run against real clocks.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
