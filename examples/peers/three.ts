/** A cluster of three peers from configuration files: see run.ts. */
import { main, option } from '../support/say.ts';
import { runPeers } from './run.ts';

main(() => runPeers(3, option('first-address') ?? '127.16.3.1'));
