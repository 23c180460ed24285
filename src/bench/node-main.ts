/** The process of one node: does what the driver asks over the channel it was started with, and ends with it. */

import { BenchNode } from './bench-node.ts';
import type { AnswerMessage, CallMessage } from './calls.ts';

/** Answers calls until the driver is gone. Gives an exit code at once when there is no driver. */
export function runBenchNode(): number {
  if (process.send === undefined) {
    process.stderr.write('peerage bench-node is started by peerage bench; it does nothing by itself.\n');
    return 2;
  }
  const node = new BenchNode();
  process.on('message', (message: CallMessage) => void answer(node, message));
  process.on('disconnect', () => process.exit(0));
  return 0;
}

async function answer(node: BenchNode, { id, call, argument }: CallMessage): Promise<void> {
  const say = (message: AnswerMessage): void => {
    process.send?.(message);
  };
  try {
    const method = node[call] as (argument: unknown) => unknown;
    say({ id, result: await method.call(node, argument) });
  } catch (error) {
    say({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
