/** The virtual links keep what the port promises and are as unkind as real ones where it promises nothing. */
import { describe, expect, it } from 'vitest';
import { type NodeProcess, VirtualNetwork } from '../../src/simulation/network.ts';
import { SeededRandom } from '../../src/simulation/seeded-random.ts';
import { Trace } from '../../src/simulation/trace.ts';
import { VirtualTime } from '../../src/simulation/virtual-time.ts';
import type { Links } from '../../storage/environment.ts';

interface End {
  process: NodeProcess;
  links: Links;
  /** `up a`, `down a silent`, `a: 1`, with the moment in ms before it when `timed`. */
  readonly heard: string[];
}

interface World {
  readonly time: VirtualTime;
  readonly network: VirtualNetwork;
  readonly ends: End[];
  readonly misuses: string[];
  open(index: number, incarnation?: number): void;
}

async function inWorld(seed: number, nodes: number, script: (world: World) => Promise<void>): Promise<World> {
  const time = new VirtualTime();
  const misuses: string[] = [];
  const ids = ['a', 'b', 'c', 'd'].slice(0, nodes);
  const network = new VirtualNetwork({
    time,
    random: new SeededRandom(seed),
    trace: new Trace(time),
    timings: { latencyMs: [1, 5], jitterChance: 0.3, jitterMsMax: 20, netTicktimeMs: 4000, resumeWindowMs: 1000 },
    nodes: ids.map((id) => ({ id, name: `name-${id}`, label: id })),
    onMisuse: (_, what) => misuses.push(what),
    onDown: () => undefined,
  });
  const ends: End[] = [];
  const open = (index: number, incarnation = 1): void => {
    const id = ids[index] as string;
    const process: NodeProcess = {
      state: 'running',
      parked: [],
      index,
      id,
      name: `name-${id}`,
      label: id,
      incarnation,
    };
    const links = network.linksFor(process);
    const heard = ends[index]?.heard ?? [];
    ends[index] = { process, links, heard };
    links.setHandlers({
      up: (node, info) => heard.push(`up ${node} ${info.name} ${info.incarnation}`),
      down: (node, reason) => heard.push(`down ${node} ${reason}`),
      message: (node, message) => heard.push(`${node}: ${JSON.stringify(message)}`),
    });
  };
  for (let index = 0; index < nodes; index++) open(index);
  const world: World = { time, network, ends, misuses, open };
  await time.run(
    async () => {
      await time.sleep(2000);
      await script(world);
    },
    (_, error) => {
      throw error;
    },
  );
  return world;
}

const messagesOf = (end: End | undefined): string[] => (end?.heard ?? []).filter((line) => line.includes(': '));
const downsOf = (end: End | undefined): string[] => (end?.heard ?? []).filter((line) => line.startsWith('down'));

describe('virtual links', () => {
  it('come up by themselves and tell name and incarnation of the other end', async () => {
    const { ends } = await inWorld(1, 2, async () => undefined);
    expect(ends[0]?.heard).toEqual(['up b name-b 1']);
    expect(ends[1]?.heard).toEqual(['up a name-a 1']);
  });

  it('deliver each message once and in order, whatever the jitter', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { ends } = await inWorld(seed, 2, async ({ ends: [a], time }) => {
        for (let count = 0; count < 50; count++) {
          a?.links.send('b', [count]);
          if (count % 7 === 0) await time.sleep(1);
        }
        await time.sleep(500);
      });
      expect(messagesOf(ends[1])).toEqual(Array.from({ length: 50 }, (_, count) => `a: [${count}]`));
    }
  });

  it('refuse what no link carries, and say whose mistake it was', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const symbol = inWorld(seed, 2, async ({ ends: [a] }) => a?.links.send('b', [Symbol.for('x')]));
      await expect(symbol, `seed ${seed}`).rejects.toThrow();
    }
  });

  it('notice a sender that changes a message after sending it', async () => {
    let noticed = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const world = await inWorld(seed, 2, async ({ ends: [a], time }) => {
        const message = ['before'];
        a?.links.send('b', message);
        message[0] = 'after';
        await time.sleep(100);
      });
      expect(messagesOf(world.ends[1])).toEqual(['a: ["before"]']);
      noticed += world.misuses.length;
    }
    expect(noticed).toBeGreaterThan(0);
  });

  it('hide a blip that is resumed in time: everything arrives, later', async () => {
    const { ends } = await inWorld(4, 2, async ({ ends: [a, b], network, time }) => {
      a?.links.send('b', 1);
      network.blip(0, 1, 700);
      a?.links.send('b', 2);
      await time.sleep(600);
      expect(messagesOf(b)).not.toContain('a: 2');
      await time.sleep(1000);
    });
    expect(messagesOf(ends[1])).toEqual(['a: 1', 'a: 2']);
    expect([...downsOf(ends[0]), ...downsOf(ends[1])]).toEqual([]);
  });

  it('go down on both sides when a break outlasts the resume window, and come up again after it', async () => {
    const { ends } = await inWorld(5, 2, async ({ network, time }) => {
      network.blip(0, 1, 3000);
      await time.sleep(9000);
    });
    expect(ends[0]?.heard).toEqual(['up b name-b 1', 'down b silent', 'up b name-b 1']);
    expect(ends[1]?.heard).toEqual(['up a name-a 1', 'down a silent', 'up a name-a 1']);
  });

  it('hide a cut shorter than net_ticktime', async () => {
    const { ends } = await inWorld(6, 2, async ({ ends: [a], network, time }) => {
      network.cut(0, 1);
      network.cut(1, 0);
      a?.links.send('b', 1);
      await time.sleep(3500);
      network.healAll();
      await time.sleep(1000);
    });
    expect(messagesOf(ends[1])).toEqual(['a: 1']);
    expect(downsOf(ends[1])).toEqual([]);
  });

  it('tell both sides of a long cut, not at the same moment, and deliver nothing after it', async () => {
    const moments: number[] = [];
    const { ends } = await inWorld(7, 2, async ({ ends: [a, b], network, time }) => {
      network.cut(0, 1);
      network.cut(1, 0);
      a?.links.send('b', 'lost');
      for (const end of [a, b]) {
        const heard = end?.heard as string[];
        const push = heard.push.bind(heard);
        heard.push = (...lines: string[]) => {
          if (lines[0]?.startsWith('down')) moments.push(time.nowMs);
          return push(...lines);
        };
      }
      await time.sleep(6000);
      network.healAll();
      await time.sleep(5000);
    });
    expect(downsOf(ends[0])).toEqual(['down b silent']);
    expect(downsOf(ends[1])).toEqual(['down a silent']);
    expect(moments[0]).not.toBe(moments[1]);
    expect(messagesOf(ends[1])).toEqual([]);
    expect(ends[1]?.heard.at(-1)).toBe('up a name-a 1');
  });

  it('go down on both sides of a one-way cut, the deaf side first', async () => {
    const { ends } = await inWorld(8, 2, async ({ network, time }) => {
      network.cut(0, 1);
      await time.sleep(8000);
    });
    expect(downsOf(ends[1])).toEqual(['down a silent']);
    expect(downsOf(ends[0])).toEqual(['down b silent']);
  });

  it('leave others alone when two lose each other', async () => {
    const { ends } = await inWorld(9, 3, async ({ network, time }) => {
      network.cut(0, 1);
      network.cut(1, 0);
      await time.sleep(8000);
    });
    expect(downsOf(ends[2])).toEqual([]);
    expect(downsOf(ends[0])).toEqual(['down b silent']);
  });

  it('say at once that a process is gone, and that it is back under its next incarnation', async () => {
    const { ends } = await inWorld(10, 2, async ({ ends: [a, b], network, time, open }) => {
      const process = a?.process as NodeProcess;
      process.state = 'dead';
      network.died(process, 'killed');
      await time.sleep(100);
      expect(downsOf(b)).toEqual(['down a refused']);
      open(0, 2);
      await time.sleep(2000);
    });
    expect(ends[1]?.heard).toEqual(['up a name-a 1', 'down a refused', 'up a name-a 2']);
  });

  it('stay silent about a machine without power until net_ticktime, or until it is back', async () => {
    const { ends } = await inWorld(11, 2, async ({ ends: [a, b], network, time, open }) => {
      const process = a?.process as NodeProcess;
      process.state = 'dead';
      network.died(process, 'power');
      await time.sleep(3000);
      expect(downsOf(b)).toEqual([]);
      open(0, 2);
      await time.sleep(1000);
    });
    expect(ends[1]?.heard).toEqual(['up a name-a 1', 'down a refused', 'up a name-a 2']);
  });

  it('let everything sent before an orderly stop arrive, then say closed', async () => {
    const { ends } = await inWorld(12, 2, async ({ ends: [a], network, time }) => {
      const process = a?.process as NodeProcess;
      a?.links.send('b', 'last words');
      process.state = 'dead';
      network.died(process, 'stopped');
      await time.sleep(200);
    });
    expect(ends[1]?.heard).toEqual(['up a name-a 1', 'a: "last words"', 'down a closed']);
  });

  it('drop on request: dropped here, down there, up again after a while', async () => {
    const { ends } = await inWorld(13, 2, async ({ ends: [a, b], time }) => {
      a?.links.drop('b', 'a test');
      expect(a?.links.isUp('b')).toBe(false);
      b?.links.send('a', 'too late');
      await time.sleep(3000);
    });
    expect(ends[0]?.heard).toEqual(['up b name-b 1', 'down b dropped', 'up b name-b 1']);
    expect(downsOf(ends[1])).toEqual(['down a closed']);
    expect(messagesOf(ends[0])).toEqual([]);
  });

  it('lose a part of what was under way when a process dies, always from some point on', async () => {
    const lengths = new Set<number>();
    for (let seed = 1; seed <= 30; seed++) {
      const { ends } = await inWorld(seed, 2, async ({ ends: [a], network, time }) => {
        const process = a?.process as NodeProcess;
        for (let count = 0; count < 5; count++) a?.links.send('b', count);
        process.state = 'dead';
        network.died(process, 'killed');
        await time.sleep(500);
      });
      const arrived = messagesOf(ends[1]);
      expect(arrived).toEqual([0, 1, 2, 3, 4].slice(0, arrived.length).map((count) => `a: ${count}`));
      lengths.add(arrived.length);
    }
    expect(lengths.size).toBeGreaterThan(2);
  });
});
