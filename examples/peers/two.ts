/** A cluster of two peers from configuration files: see run.ts. */
import { main, option } from '../support/say.ts';
import { runPeers } from './run.ts';

main(() => runPeers(2, option('first-address') ?? '127.16.2.1'));
