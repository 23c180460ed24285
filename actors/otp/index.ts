/** Everything other rooms may import from the actor host. */
import { createNactHost } from './nact-host.ts';
import type { ProcessHost } from './process-host.ts';
import { NodeSystem } from './system.ts';
import type { ActorSystem, ActorSystemOptions } from './types.ts';

export { worker } from './child-spec.ts';
export { type CallFailure, describeReason, ExitError, isOrderly } from './exit.ts';
export { RemoteError } from './frames.ts';
export type { HostSlot, ProcessHost } from './process-host.ts';
export { createRunQueueHost } from './run-queue-host.ts';
export {
  type ChildCount,
  type ChildRow,
  countChildren,
  deleteChild,
  restartChild,
  type SupervisorRequest,
  startChild,
  terminateChild,
  whichChildren,
} from './supervisor-requests.ts';
export type * from './types.ts';

/**
 * Starts one node's actor system. Turns come from nact unless another host is passed: the simulator and tests that
 * must repeat exactly pass a run queue.
 */
export function startActorSystem(options: ActorSystemOptions, host?: ProcessHost): ActorSystem {
  return new NodeSystem(options, host ?? createNactHost({ node: options.node, incarnation: options.incarnation ?? 0 }));
}
