/**
 * Every step of every protocol, and what may happen to a node exactly there: killed before anything of the step has left
 * it, killed when its frames are out, powered off, stopped for a while, stopped so long that the others give it up.
 * Afterwards the same questions as always: are the replicas equal, is what was answered there, is nothing locked.
 */
import { expect, test } from 'vitest';
import { PROBE_POINTS, type ProbePoint } from '../../../storage/environment.ts';
import { type Scenario, scenario } from '../support/scenario.ts';

/** How a cluster of three with table `t` gets to a step. */
type Way = (scenario: Scenario) => Promise<void>;

interface Passage {
  readonly point: ProbePoint;
  /** The node that gets there, and its part. */
  readonly node: number;
  readonly as: string;
  readonly way: Way;
  readonly majority?: boolean;
}

const commit: Way = async (s) => {
  s.write(1, 'k', 'new');
  await s.cluster.advance(1_500);
};

const dirtyWrite: Way = async (s) => {
  s.write(1, 'k', 'dirty', 'dirty');
  await s.cluster.advance(1_500);
};

/** Peer 1 dies with its dirty write out, which peer 3 does not hear for a while. */
const dirtyWriterLost: Way = async (s) => {
  s.cluster.network.delay('id1', 'id3', 20);
  s.killWhen(1, 2, 'dirty.applied');
  await dirtyWrite(s);
};

/** Peer 1 writes first; peer 2 writes the same row before it hears of it. */
const conflict: Way = async (s) => {
  s.write(1, 'k', 'older');
  await s.cluster.advance(0.5);
  s.write(2, 'k', 'younger');
  await s.cluster.advance(1_500);
};

/** The same without another try: before it says "nothing was changed", peer 2 asks peer 3, which had promised it. */
const refusal: Way = async (s) => {
  s.write(1, 'k', 'older');
  await s.cluster.advance(0.5);
  s.run(2, (tx) => tx.write('t', 'k', 'younger'), 'transaction', { retries: 0 });
  await s.cluster.advance(1_500);
};

const participantLost: Way = async (s) => {
  s.killAt(3, 'participant.before_vote');
  await commit(s);
};

/** Killed when both others have voted, on disc where a majority's promise is kept there, and it has heard neither. */
const coordinatorLost: Way = async (s) => {
  s.killWhen(1, 3, 'participant.after_vote');
  await commit(s);
};

const nodeLost: Way = async (s) => {
  s.node(3).kill();
  await s.cluster.advance(100);
  if (s.node(1).isRunning) s.write(1, 'k', 'without peer 3');
  await s.cluster.advance(1_000);
};

/** Peer 3 was down last: it may load alone. */
const loadAlone: Way = async (s) => {
  await s.node(1).stop();
  await s.node(2).stop();
  await s.cluster.advance(200);
  await s.written(3, 'k', 'last');
  s.node(3).kill();
  await s.node(3).start();
  await s.cluster.advance(500);
};

const createTable: Way = async (s) => {
  const made = s.node(1).db.createTable({ name: 'made', disc_copies: s.cluster.names });
  made.catch(() => undefined);
  await s.cluster.advance(1_500);
};

const changeProperty: Way = async (s) => {
  const changed = s.node(2).db.changeTableLoadOrder('t', 7);
  changed.catch(() => undefined);
  await s.cluster.advance(1_500);
};

const heal: Way = async (s) => {
  await s.cluster.split([1], [2, 3]);
  // Alone, a node that loses its power keeps only what it has synced.
  await s.written(1, 'a', 'left', 'sync');
  await s.written(2, 'b', 'right', 'sync');
  await s.cluster.advance(500);
  s.cluster.heal();
  await s.cluster.advance(1_500);
};

const commitPoints: ProbePoint[] = [
  'commit.before_prepare',
  'commit.after_prepare_sent',
  'commit.vote_received',
  'commit.decided',
  'commit.after_commit_sent',
  'commit.on_disc',
  'commit.kept',
];

const participantPoints: ProbePoint[] = [
  'participant.before_vote',
  'participant.after_vote',
  'participant.before_apply',
  'participant.after_apply',
  'participant.acknowledged',
];

const connectPoints: ProbePoint[] = [
  'connect.surveyed',
  'connect.copied',
  'connect.before_lock',
  'connect.locked',
  'connect.prepared',
  'connect.before_apply',
  'connect.after_apply',
  'connect.done',
];

const orphanPoints: ProbePoint[] = ['orphan.asked', 'orphan.before_settle', 'orphan.settled'];

const ofCommits: Passage[] = [
  ...commitPoints.map((point): Passage => ({ point, node: 1, as: 'the coordinator', way: commit })),
  ...participantPoints.map((point): Passage => ({ point, node: 3, as: 'a participant', way: commit })),
  ...orphanPoints.map((point): Passage => ({ point, node: 2, as: 'the survivor that asks', way: coordinatorLost })),
  { point: 'commit.refused', node: 2, as: 'the coordinator of the younger', way: conflict },
  { point: 'commit.shortened', node: 1, as: 'the coordinator', way: participantLost },
  { point: 'participant.refused', node: 1, as: 'the coordinator of the older', way: conflict },
  { point: 'participant.waiting', node: 2, as: 'the coordinator of the younger', way: conflict },
];

const passages: Passage[] = [
  { point: 'dirty.sent', node: 1, as: 'the writer', way: dirtyWrite },
  { point: 'dirty.applied', node: 3, as: 'another replica', way: dirtyWrite },
  { point: 'dirty.handed_on', node: 2, as: 'a survivor', way: dirtyWriterLost },
  ...ofCommits,
  ...ofCommits.map((passage) => ({ ...passage, majority: true })),
  { point: 'orphan.asked', node: 3, as: 'the survivor that is asked', way: coordinatorLost },
  { point: 'commit.confirmation_asked', node: 2, as: 'the coordinator of the younger', way: refusal },
  { point: 'down.before_record', node: 1, as: 'a survivor', way: nodeLost },
  { point: 'down.after_record', node: 1, as: 'a survivor', way: nodeLost },
  { point: 'load.disc_read', node: 3, as: 'a node that starts', way: loadAlone },
  { point: 'load.before_load', node: 3, as: 'a node that starts alone', way: loadAlone },
  { point: 'load.after_load', node: 3, as: 'a node that starts alone', way: loadAlone },
  { point: 'schema.before_define', node: 1, as: 'the node that creates a table', way: createTable },
  { point: 'schema.after_define', node: 1, as: 'the node that creates a table', way: createTable },
  { point: 'schema.proposed', node: 2, as: 'the node that asks for a change', way: changeProperty },
  { point: 'schema.settled', node: 2, as: 'the node that asks for a change', way: changeProperty },
  { point: 'schema.settled', node: 1, as: 'the node that creates a table', way: createTable },
  ...connectPoints.map((point): Passage => ({ point, node: 1, as: 'the leader of a heal', way: heal })),
  { point: 'connect.before_prepare', node: 1, as: 'the leader of a heal', way: heal },
  { point: 'connect.offered', node: 1, as: 'the leader of a heal', way: heal },
  { point: 'connect.offered', node: 2, as: 'a member of a heal', way: heal },
  ...connectPoints.map((point): Passage => ({ point, node: 2, as: 'a member of a heal', way: heal })),
  ...connectPoints.map(
    (point): Passage => ({ point, node: 2, as: 'a member when a table is created', way: createTable }),
  ),
];

interface Misfortune {
  readonly what: string;
  befall(s: Scenario, node: number, point: ProbePoint): void;
}

/** The others hear nothing of the node for longer than net_ticktime, and it hears of that only when it goes on. */
function fallSilent(s: Scenario, node: number): void {
  const { cluster } = s;
  cluster.node(node).pause();
  for (const other of cluster.nodes) if (other !== s.node(node)) cluster.network.cut(s.node(node).id, other.id);
}

const misfortunes: Misfortune[] = [
  { what: 'is killed', befall: (s, node, point) => s.killAt(node, point) },
  { what: 'is killed with its frames out', befall: (s, node, point) => s.killAt(node, point, { moment: 'sent' }) },
  { what: 'loses its power', befall: (s, node, point) => s.killAt(node, point, { disc: 'synced' }) },
  { what: 'is stopped by a signal for a while', befall: (s, node, point) => void s.pauseAt(node, point) },
  {
    what: 'is stopped until it is given up',
    befall: (s, node, point) => s.at(node, point, () => fallSilent(s, node)),
  },
];

for (const { point, node, as, way, majority = false } of passages) {
  for (const { what, befall } of misfortunes) {
    scenario(`${point}: ${as}${majority ? ' of a majority table' : ''} ${what} there`, async (s) => {
      await s.startWithTable(3, 'disc_copies', { majority });
      await s.written(2, 'before', 1);
      await s.cluster.advance(1_000);
      const passed = s.node(node).passed.get(point) ?? 0;
      befall(s, node, point);
      s.step(`${as} gets to ${point}`);
      await way(s);
      expect(s.node(node).passed.get(point) ?? 0).toBeGreaterThan(passed);
      await s.cluster.advance(1_000);
      await s.allAgain();
      expect(s.values('before')).toEqual([1, 1, 1]);
      // And everybody takes writes again.
      for (const one of [1, 2, 3]) await s.written(one, `after${one}`, one);
    });
  }
}

test('Every step that has a name is one where a node dies', () => {
  const covered = new Set(passages.map(({ point }) => point));
  expect(PROBE_POINTS.filter((point) => !covered.has(point))).toEqual([]);
});
