#!/usr/bin/env node
// The command `peerage`: sets up what is missing, then runs the program in this same process.
import { sayFailure } from './lib/say.mjs';
import { ensureSetUp } from './setup.mjs';

try {
  await ensureSetUp();
} catch (failure) {
  process.exit(sayFailure(failure));
}
await import('../dist/main.mjs');
