/** What the leader of a merge knows of a table's rule besides the rows. */
import type { NodeId } from '../environment.ts';
import type { NodeState } from '../node-state.ts';
import { mergeFunctionOf, type SchemaTable } from '../schema/definition.ts';
import { needsMajority } from '../schema/majorities.ts';
import { decodeValue } from '../term.ts';
import type { Key, MergeFunction } from '../types.ts';
import type { Lives } from './lives.ts';
import type { Candidate, RuleContext } from './merge.ts';
import { callMergeFunction } from './merge-functions.ts';

export function ruleContextOf(node: NodeState, definition: SchemaTable, lives: Lives): RuleContext {
  const primaryName = node.primaryNodeName();
  const nameOf = (id: NodeId): string => node.nameOf(id);
  const name = mergeFunctionOf(definition);
  const run = name === undefined ? undefined : (node.mergeFunctions.get(name) as MergeFunction);
  return {
    // Whatever it was before a majority had to agree: what that wrote last is right.
    rule: needsMajority(definition) ? 'last_write' : definition.merge,
    replicas: definition.replicas,
    born: definition.born,
    lives,
    newVersion: () => ({ hlc: node.hlc.tick(), node: node.self }),
    primary: primaryName === undefined ? undefined : node.idOf(primaryName),
    ownedByWriter: (candidate) => isOwnedByWriter(candidate, definition.ownerField, nameOf),
    call: (key: Key, a: Candidate, b: Candidate) => {
      if (run === undefined) return { failure: 'it is not registered here' };
      const { valueBytesMax } = node.limits;
      return callMergeFunction({ run, table: definition.name, key, leader: node.self, valueBytesMax, nameOf }, a, b);
    },
  };
}

function isOwnedByWriter(
  { bytes, node }: Candidate,
  field: string | undefined,
  nameOf: (node: NodeId) => string,
): boolean {
  if (bytes === null || field === undefined) return false;
  const value = decodeValue(bytes);
  if (typeof value !== 'object' || value === null) return false;
  return (value as Record<string, unknown>)[field] === nameOf(node);
}
