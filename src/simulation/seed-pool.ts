/**
 * Seeds on several processors: worker processes of this same program, each given one seed after the other. A seed knows
 * nothing of the others, so which worker ran it, and after which, changes nothing; results come in the order of seeds.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { tuneCompiler, WORKER_FLAGS } from './engine-flags.ts';
import { lostSeed, runOneSeed, type SeedSettings, type SeedSummary } from './seed-run.ts';

export interface PoolOptions extends SeedSettings {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  /** Asked before each new seed; once it says no, those that run are the last. */
  readonly mayBegin: () => boolean;
}

interface Order {
  readonly seed: number;
  readonly settings: SeedSettings;
}

/** The words that make this program a worker; see `runSeedWorker`. */
function workerWords(): string[] {
  return process.argv[2] === 'simulate' ? ['simulate', '--worker'] : ['--worker'];
}

/** The worker's side: runs what it is given until the parent is gone. */
export async function runSeedWorker(): Promise<void> {
  tuneCompiler();
  process.on('message', ({ seed, settings }: Order) => {
    runOneSeed(seed, settings).then(
      (summary) => process.send?.(summary),
      (error: unknown) => process.send?.(lostSeed(seed, String(error))),
    );
  });
  await new Promise<void>((resolve) => process.once('disconnect', resolve));
  // A seed may still be running here, and nobody waits for it.
  process.exit();
}

export async function* runSeeds(options: PoolOptions): AsyncGenerator<SeedSummary> {
  const { from, seeds, jobs, mayBegin } = options;
  const settings: SeedSettings = { nodes: options.nodes, profile: options.profile };
  if (jobs > 1) {
    yield* new SeedPool(options, settings).run();
    return;
  }
  tuneCompiler();
  for (let seed = from; seed < from + seeds && mayBegin(); seed++) yield await runOneSeed(seed, settings);
}

class SeedPool {
  private readonly options: PoolOptions;
  private readonly settings: SeedSettings;
  private readonly done = new Map<number, SeedSummary>();
  private readonly workers = new Set<ChildProcess>();
  private next: number;
  private running = 0;
  private wake: () => void = () => undefined;

  constructor(options: PoolOptions, settings: SeedSettings) {
    this.options = options;
    this.settings = settings;
    this.next = options.from;
  }

  async *run(): AsyncGenerator<SeedSummary> {
    const { from, seeds, jobs } = this.options;
    try {
      for (let job = 0; job < Math.min(jobs, seeds); job++) this.hire();
      for (let seed = from; seed < from + seeds; seed++) {
        while (!this.done.has(seed) && this.running > 0) {
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
        }
        const summary = this.done.get(seed);
        if (summary === undefined) return;
        this.done.delete(seed);
        yield summary;
      }
    } finally {
      this.next = Number.POSITIVE_INFINITY;
      for (const worker of this.workers) worker.disconnect();
    }
  }

  private hire(): void {
    const worker = fork(process.argv[1] as string, workerWords(), {
      execArgv: [...process.execArgv, ...WORKER_FLAGS],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    let seed: number | undefined;
    const giveNext = (): void => {
      seed = this.takeNext();
      if (seed !== undefined) worker.send({ seed, settings: this.settings } satisfies Order);
    };
    worker.on('message', (summary: SeedSummary) => {
      this.finished(summary);
      giveNext();
      this.wake();
    });
    worker.on('exit', (code, signal) => {
      this.workers.delete(worker);
      if (seed === undefined) return;
      this.finished(lostSeed(seed, signal ?? `exit code ${code}`));
      if (this.mayGoOn()) this.hire();
      this.wake();
    });
    this.workers.add(worker);
    giveNext();
  }

  private takeNext(): number | undefined {
    if (!this.mayGoOn()) return undefined;
    this.running++;
    return this.next++;
  }

  private mayGoOn(): boolean {
    return this.next < this.options.from + this.options.seeds && this.options.mayBegin();
  }

  private finished(summary: SeedSummary): void {
    this.running--;
    this.done.set(summary.seed, summary);
  }
}
