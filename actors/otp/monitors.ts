import { MONITORS_PER_PROCESS_MAX } from './limits.ts';
import type { ExitReason, HostInfo, Pid } from './types.ts';

/** One watch over one process or over one name on another node. Fires once, and not after it was taken back. */
export interface Monitor {
  readonly name: string;
  active: boolean;
  /** Removes it at the watched side. */
  release: () => void;
  fire(pid: Pid | undefined, reason: ExitReason): void;
}

/** Who watches one process. */
export type Watchers = Set<Monitor>;

/** Tells every watcher, in the order they began to watch. */
export function fireWatchers(watchers: Watchers, pid: Pid, reason: ExitReason): void {
  const list = [...watchers];
  watchers.clear();
  for (const monitor of list) monitor.fire(pid, reason);
}

/** The monitors one process holds, by the name it gave them. */
export class ProcessMonitors {
  private readonly monitors = new Map<string, Monitor>();
  private readonly deliver: (monitor: Monitor, info: HostInfo) => void;

  constructor(deliver: (monitor: Monitor, info: HostInfo) => void) {
    this.deliver = deliver;
  }

  /** A monitor of the same name is taken back first, as if `demonitor` had been asked for. */
  add(name: string): Monitor {
    this.remove(name);
    if (this.monitors.size >= MONITORS_PER_PROCESS_MAX) {
      throw new RangeError(
        `Monitor "${name}" not set: a process may hold ${MONITORS_PER_PROCESS_MAX}. Take back those no longer needed.`,
      );
    }
    let fired = false;
    const monitor: Monitor = {
      name,
      active: true,
      release: () => undefined,
      fire: (pid, reason) => {
        if (fired || !monitor.active) return;
        fired = true;
        this.deliver(monitor, { type: 'DOWN', name, pid, reason });
      },
    };
    this.monitors.set(name, monitor);
    return monitor;
  }

  /** After this no DOWN of that monitor is delivered, not even one that waits in the mailbox already. */
  remove(name: string): void {
    const monitor = this.monitors.get(name);
    if (monitor === undefined) return;
    this.monitors.delete(name);
    monitor.active = false;
    monitor.release();
  }

  /** Is the DOWN that now leaves the mailbox still wanted? Called once for each. */
  take(monitor: Monitor): boolean {
    if (!monitor.active) return false;
    monitor.active = false;
    this.monitors.delete(monitor.name);
    return true;
  }

  releaseAll(): void {
    for (const monitor of this.monitors.values()) {
      monitor.active = false;
      monitor.release();
    }
    this.monitors.clear();
  }
}
