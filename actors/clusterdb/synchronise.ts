/**
 * The node connection transaction, as a worker of `cdb` runs it (E136). It owns the wording of L9–L11 and nothing else:
 * the transaction itself is the database's, which also tries again by itself.
 */
import { emitterOfWorker } from '../diagnostics/log-record.ts';
import type { WorkerContext } from '../otp/types.ts';
import { failedConnecting, readyToConnect, runningConnect } from './log-lines.ts';
import { failureOf } from './ports.ts';

/** Why the database last lost a node, as its system event said. */
export type DownReason = 'refused' | 'silent' | 'closed' | 'dropped' | 'protocol';

/** E137: the other node answers and its database process is gone. Balanced braces, exact text. */
export const NOPROC_REASON =
  '{ badrpc, { EXIT, { aborted, { noproc, { gen_server, call, [ kernel_safe_sup, { start_child, { dets_sup, ' +
  '{ dets_sup, start_link, }, permanent, 1000, supervisor, [ dets_sup ] } }, infinity ] } } } } }';

/** The other node cannot be reached at all. */
export const NODEDOWN_REASON = '{ badrpc, nodedown }';

export type ConnectOutcome =
  | { readonly ok: true; readonly node: string }
  | { readonly ok: false; readonly node: string; readonly reason: string };

/**
 * The Reason of L11. A refused connection or a good-bye means that nothing listens there any more; silence means that
 * the node is out of reach. Anything else keeps the database's own code.
 */
export function reasonTerm(thrown: unknown, downReason: DownReason | undefined): string {
  const failure = failureOf(thrown);
  if (failure.code !== 'node_not_running') {
    return `{ badrpc, { EXIT, { aborted, { ${failure.code}, ${JSON.stringify(failure.message)} } } } }`;
  }
  const reason = downReason ?? reasonField(thrown);
  return reason === 'refused' || reason === 'closed' ? NOPROC_REASON : NODEDOWN_REASON;
}

/** `fields.reason` of the database's error, when it carries one. */
function reasonField(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null || !('fields' in thrown)) return undefined;
  const fields = thrown.fields;
  return typeof fields === 'object' && fields !== null && 'reason' in fields ? fields.reason : undefined;
}

/** Body of the worker. It never throws: a failed connection is an answer, and `cdb` keeps its pid (E150). */
export async function synchronise(
  worker: WorkerContext,
  connectNode: (nodeName: string) => Promise<void>,
  node: string,
  downReason: DownReason | undefined,
): Promise<ConnectOutcome> {
  const from = emitterOfWorker(worker);
  worker.log(readyToConnect(from, node));
  worker.log(runningConnect(from, node));
  try {
    await connectNode(node);
    return { ok: true, node };
  } catch (thrown) {
    const reason = reasonTerm(thrown, downReason);
    worker.log(failedConnecting(from, node, reason));
    return { ok: false, node, reason };
  }
}
