/**
 * Three processes, one bank. All of them transfer money between the same accounts; one is killed with SIGKILL in the
 * middle and started again. At the end no money was made or lost, and every transfer that was acknowledged is there, at
 * every process.
 *
 *     npx tsx examples/bank.ts
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAuthority, createPeerCertificate, validityFrom } from '../src/net/index.ts';
import { type Answer, type Audit, type Order, START_BALANCE, type TellerNetwork } from './bank/orders.ts';
import { main, say, sleep, until } from './support/say.ts';

const ADDRESSES = ['127.16.10.1', '127.16.10.2', '127.16.10.3'];
const ACCOUNTS = 20;
const CLIENTS = 4;
const RUN_MS = 3_000;
const KILLED = 1;

class Teller {
  readonly name: string;
  readonly acknowledged = new Set<string>();
  refused = 0;
  readonly #child: ChildProcess;
  #waiting: ((answer: Answer) => void) | undefined;

  private constructor(name: string) {
    this.name = name;
    const program = fileURLToPath(new URL('./bank/teller.ts', import.meta.url));
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    this.#child = spawn(process.execPath, ['--import', 'tsx', program], { stdio: [...stdio] });
    this.#child.on('message', (answer: Answer) => this.#take(answer));
  }

  static async open(at: number, directory: string, network: TellerNetwork): Promise<Teller> {
    const teller = new Teller(`teller ${at + 1}`);
    const nodeName = `clusterdb@teller${at + 1}.bank.example`;
    await teller.ask({ type: 'open', directory: join(directory, String(at + 1)), nodeName, network });
    return teller;
  }

  #take(answer: Answer): void {
    if (answer.type === 'acknowledged') this.acknowledged.add(answer.id);
    else if (answer.type === 'refused') this.refused += 1;
    else this.#waiting?.(answer);
  }

  ask(order: Order): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#child.send(order);
    });
  }

  /** Never answers when the teller is killed meanwhile. */
  run(durationMs: number): Promise<Answer> {
    return this.ask({ type: 'run', accounts: ACCOUNTS, clients: CLIENTS, durationMs });
  }

  async audit(): Promise<Audit> {
    return (await this.ask({ type: 'audit' })) as Audit;
  }

  end(how: 'close' | 'SIGKILL'): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#child.once('exit', () => resolve());
    });
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve();
    if (how === 'close') this.#child.send({ type: 'close' } satisfies Order);
    else this.#child.kill('SIGKILL');
    return ended;
  }
}

async function networks(): Promise<TellerNetwork[]> {
  const validity = validityFrom(Date.now(), 1);
  const authority = await createAuthority('bank example authority', validity);
  const clusterKeyHex = randomBytes(32).toString('hex');
  const make = async (bindAddress: string): Promise<TellerNetwork> => {
    const request = { authority, commonName: bindAddress, ipAddresses: [bindAddress], validity };
    const { certificatePem, privateKeyPem } = await createPeerCertificate(request);
    const keys = { certificate: certificatePem, privateKey: privateKeyPem, authority: authority.certificatePem };
    return { bindAddress, addresses: ADDRESSES, port: 4372, clusterKeyHex, ...keys };
  };
  return Promise.all(ADDRESSES.map(make));
}

function audits(tellers: readonly Teller[]): Promise<Audit[]> {
  return Promise.all(tellers.map((teller) => teller.audit()));
}

async function awaitTogether(tellers: readonly Teller[]): Promise<void> {
  await until('all tellers to be one island', async () =>
    (await audits(tellers)).every(({ nodes }) => nodes === ADDRESSES.length),
  );
}

async function awaitEqual(tellers: readonly Teller[]): Promise<Audit[]> {
  let found: Audit[] = [];
  await until('all replicas to be equal', async () => {
    found = await audits(tellers);
    return found.every(({ digests }) => digests === found[0]!.digests);
  });
  return found;
}

function report(found: readonly Audit[], acknowledged: ReadonlySet<string>): void {
  const expected = ACCOUNTS * START_BALANCE;
  found.forEach(({ sum, transfers }, at) => {
    const there = new Set(transfers);
    const lost = [...acknowledged].filter((id) => !there.has(id)).length;
    say(`teller ${at + 1}: sum ${sum} of ${expected}, acknowledged transfers lost: ${lost}`);
    if (sum !== expected || lost > 0) process.exitCode = 1;
  });
}

main(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'peerage-bank-'));
  const network = await networks();
  let tellers: Teller[] = [];
  try {
    tellers = await Promise.all(network.map((own, at) => Teller.open(at, directory, own)));
    await awaitTogether(tellers);
    await tellers[0]!.ask({ type: 'seed', accounts: ACCOUNTS });
    say(`three processes, ${ACCOUNTS} accounts of ${START_BALANCE}`);

    const runs = tellers.map((teller) => teller.run(RUN_MS));
    await sleep(RUN_MS / 4);
    const victim = tellers[KILLED]!;
    await victim.end('SIGKILL');
    say(`${victim.name} killed (SIGKILL) in the middle of its transfers`);
    await sleep(RUN_MS / 4);
    tellers[KILLED] = await Teller.open(KILLED, directory, network[KILLED]!);
    say(`${victim.name} started again; the others never stopped`);
    await Promise.all(runs.filter((_, at) => at !== KILLED));
    await awaitTogether(tellers);

    const acknowledged = new Set([...tellers, victim].flatMap((teller) => [...teller.acknowledged]));
    say(`${acknowledged.size} transfers were acknowledged`);
    report(await awaitEqual(tellers), acknowledged);
    say('all replicas are equal');
    await Promise.all(tellers.map((teller) => teller.end('close')));
  } finally {
    await Promise.all(tellers.map((teller) => teller.end('SIGKILL')));
    rmSync(directory, { recursive: true, force: true });
  }
});
