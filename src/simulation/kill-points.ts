/** Steps of the protocols at which the nemesis kills a node. */
import type { ProbePoint } from '../../storage/environment.ts';

export const KILL_POINTS: readonly ProbePoint[] = [
  'commit.before_prepare',
  'commit.after_prepare_sent',
  'commit.decided',
  'commit.after_commit_sent',
  'participant.before_vote',
  'participant.after_vote',
  'participant.before_apply',
  'participant.after_apply',
  'connect.surveyed',
  'connect.offered',
  'connect.copied',
  'connect.before_lock',
  'connect.locked',
  'connect.before_prepare',
  'connect.prepared',
  'connect.before_apply',
  'connect.after_apply',
  'down.before_record',
  'down.after_record',
];
