#!/usr/bin/env node
// Makes a fresh clone runnable: the right Node.js, the dependencies, the build. Does nothing when nothing is to do.
// Plain JavaScript without a dependency, because it runs before there are any.
//   node bin/setup.mjs            set up what is missing
//   node bin/setup.mjs --build    build even when the sources did not change
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, buildIsCurrent } from './lib/build.mjs';
import { dependenciesAreThere, installDependencies, linkCommand } from './lib/dependencies.mjs';
import { withLock } from './lib/lock.mjs';
import { SetupError, say, sayFailure } from './lib/say.mjs';

export const root = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));

const NODE_MAJOR_MIN = 20;
const NODE_MINOR_MIN = 19;

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MAJOR_MIN || (major === NODE_MAJOR_MIN && minor >= NODE_MINOR_MIN)) return;
  throw new SetupError(
    'peerage cannot run on this Node.js',
    `it is version ${process.versions.node}, and peerage needs ${NODE_MAJOR_MIN}.${NODE_MINOR_MIN} or newer`,
    'install a newer Node.js, or put one on PATH before this one',
    'setup_node_too_old',
  );
}

/** @param {{ forceBuild?: boolean }} options */
export async function ensureSetUp({ forceBuild = false } = {}) {
  checkNode();
  if (!forceBuild && dependenciesAreThere(root) && buildIsCurrent(root)) {
    linkCommand(root);
    return;
  }
  await withLock(join(root, '.cache/setup.lock'), 'is setting up this directory', async () => {
    // Whoever held the lock before may have done it all.
    if (!dependenciesAreThere(root)) await installDependencies(root);
    linkCommand(root);
    if (forceBuild || !buildIsCurrent(root)) await build(root);
  });
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const unknown = process.argv.slice(2).filter((argument) => argument !== '--build');
  if (unknown.length > 0) {
    say(`unknown argument ${unknown[0]} – set-up knows only --build – leave it out (usage)`);
    process.exitCode = 2;
  } else {
    try {
      await ensureSetUp({ forceBuild: process.argv.includes('--build') });
    } catch (failure) {
      process.exitCode = sayFailure(failure);
    }
  }
}
