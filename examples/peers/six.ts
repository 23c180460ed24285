/** A cluster of six peers from configuration files: see run.ts. */
import { main, option } from '../support/say.ts';
import { runPeers } from './run.ts';

main(() => runPeers(6, option('first-address') ?? '127.16.6.1'));
