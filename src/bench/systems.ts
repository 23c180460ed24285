/** Everything that can be measured, by name. */
import { etcd } from './beside/etcd.ts';
import { mnesia, mnesiaTuned } from './beside/mnesia.ts';
import type { System } from './measure.ts';

export const BESIDE: readonly System[] = [mnesia, mnesiaTuned, etcd];

export function besideNamed(name: string): System | undefined {
  return BESIDE.find((system) => system.name === name);
}
