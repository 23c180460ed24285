/** `peerage peer --config <file>`: one peer in this process until it is asked to stop. */
import { InvariantViolation } from '../../storage/errors.ts';
import { ConfigurationError, loadConfiguration } from './configuration.ts';
import { Peer } from './peer.ts';

export const EXIT_OK = 0;
/** The peer could not be started. */
export const EXIT_START_FAILED = 1;
/** The configuration file cannot be used (sysexits: EX_CONFIG). */
export const EXIT_CONFIGURATION = 78;
/** A broken invariant, or the top supervisor gave up (sysexits: EX_SOFTWARE). */
export const EXIT_FATAL = 70;

/** What is printed may go to a file on a disc that is full: that must not end a peer that can still answer. */
export function outliveConsole(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** Resolves when the peer has stopped; the exit code is set. */
export async function runPeer(configPath: string): Promise<void> {
  let configuration: Awaited<ReturnType<typeof loadConfiguration>>;
  try {
    configuration = await loadConfiguration(configPath);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
  outliveConsole();
  await new Promise<void>((resolve) => {
    let ending = false;
    const end = (code: number, reason?: string) => {
      if (ending) return;
      ending = true;
      if (reason !== undefined) {
        peer.say('ERROR', `The peer ends itself: ${reason}`);
        process.stderr.write(`The peer ends itself: ${reason}\n`);
      }
      void finish(peer, code).then(resolve);
    };
    const peer = new Peer(configuration, {
      ready: (url) => process.stdout.write(`peer ready ${url}\n`),
      fatal: (reason) => end(EXIT_FATAL, reason),
    });
    process.once('SIGTERM', () => end(EXIT_OK));
    process.once('SIGINT', () => end(EXIT_OK));
    // What nobody caught is a bug of ours: a peer that goes on half-alive would be worse than one that is gone.
    process.on('uncaughtException', (error) => end(EXIT_FATAL, textOf(error)));
    process.on('unhandledRejection', (error) => end(EXIT_FATAL, textOf(error)));
    peer.start().catch((error: unknown) => {
      process.stderr.write(`The peer cannot be started: ${error instanceof Error ? error.message : String(error)}\n`);
      end(error instanceof InvariantViolation ? EXIT_FATAL : EXIT_START_FAILED);
    });
  });
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Ends the process itself: a handle somebody forgot must not keep a stopped peer alive. */
async function finish(peer: Peer, code: number): Promise<void> {
  const failures = await peer.stop();
  for (const { part, reason } of failures) process.stderr.write(`While stopping, ${part}: ${reason}\n`);
  process.exit(code === EXIT_OK && failures.length > 0 ? EXIT_START_FAILED : code);
}
