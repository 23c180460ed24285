/** A node's process as the driver sees it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { peerCommand } from '../lab/program-file.ts';
import type { AnswerMessage, NodeCalls } from './calls.ts';
import type { MeasuredNode } from './measure.ts';

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class NodeProcess implements MeasuredNode {
  readonly number: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  private constructor(number: number, child: ChildProcess) {
    this.number = number;
    this.#child = child;
    child.on('message', (message: AnswerMessage) => this.#answered(message));
    child.on('exit', (code, signal) => this.#gone(`node ${number} ended (${signal ?? `exit code ${code}`})`));
    child.on('error', (error) => this.#gone(`node ${number} could not be started: ${error.message}`));
  }

  static start(number: number): NodeProcess {
    const [program, ...words] = peerCommand();
    // What a node says belongs to the driver's messages, not among its figures.
    const child = spawn(program, [...words, 'bench-node'], { stdio: ['ignore', 2, 2, 'ipc'] });
    return new NodeProcess(number, child);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  call<C extends keyof NodeCalls>(
    call: C,
    argument: Parameters<NodeCalls[C]>[0],
  ): Promise<Awaited<ReturnType<NodeCalls[C]>>> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (!this.isRunning) throw new Error(`node ${this.number} does not run`);
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, call, argument }, (error) => {
        if (error !== null) this.#gone(`node ${this.number} cannot be reached: ${error.message}`);
      });
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  #answered({ id, result, error }: AnswerMessage): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(`node ${this.number}: ${error}`));
  }

  #gone(text: string): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new Error(text));
  }
}
