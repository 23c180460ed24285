/**
 * Properties of a table that may be changed while it is in use. Each change leaves a stamp, so that of two islands' values
 * the one that was made knowing the other stands, and two that were made apart are a conflict for a person to settle.
 */
import type { NodeId } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { encodeValue } from '../term.ts';
import type { AccessMode, MergeRule, Value } from '../types.ts';
import type { SchemaTable } from './definition.ts';

export const RULES: readonly MergeRule[] = ['last_write', 'owner', 'primary', 'manual'];
const NAME_LENGTH_MAX = 128;
/** Changes of one property that are remembered: a node that was away for more of them is in conflict. */
const STAMPS_MAX = 32;
const USER = 'user_properties.';
const CHANGEABLE = ['merge', 'load_order', 'majority', 'access_mode'] as const;

export type PropertyName = (typeof CHANGEABLE)[number] | `${typeof USER}${string}`;

export interface PropertyHistory {
  /** Its value before the first change: nodes go on declaring it when they start. */
  readonly declared: Value;
  /** `hlc-node` of each change, the last one last. */
  readonly stamps: readonly string[];
}

/** One change, as a node proposes it. `value` undefined deletes a user property. */
export interface PropertyChange {
  readonly table: string;
  readonly property: PropertyName;
  readonly value: Value;
  readonly hlc: number;
  readonly node: NodeId;
}

export function userProperty(name: string): PropertyName {
  return `${USER}${name}`;
}

export function isRule(rule: unknown): rule is MergeRule {
  if (typeof rule !== 'object' || rule === null) return RULES.includes(rule as MergeRule);
  const { function: name } = rule as { function?: unknown };
  return typeof name === 'string' && name.length > 0 && name.length <= NAME_LENGTH_MAX;
}

// -- one property -----------------------------------------------------------------------------------------------------

export function propertyOf(table: SchemaTable, property: string): Value {
  switch (property) {
    case 'merge':
      return table.ownerField === undefined ? [table.merge] : [table.merge, table.ownerField];
    case 'load_order':
      return table.loadOrder;
    case 'majority':
      return table.majority;
    case 'access_mode':
      return table.accessMode;
    default:
      return table.userProperties.get(property.slice(USER.length));
  }
}

function withValue(table: SchemaTable, property: string, value: Value): SchemaTable {
  switch (property) {
    case 'merge': {
      const [merge, ownerField] = value as [MergeRule, string?];
      return { ...table, merge, ownerField };
    }
    case 'load_order':
      return { ...table, loadOrder: value as number };
    case 'majority':
      return { ...table, majority: value as boolean };
    case 'access_mode':
      return { ...table, accessMode: value as AccessMode };
    default: {
      const userProperties = new Map(table.userProperties);
      const name = property.slice(USER.length);
      if (value === undefined) userProperties.delete(name);
      else userProperties.set(name, value);
      return { ...table, userProperties };
    }
  }
}

/** Above the stamps there are: whoever unites the two finds this one to be the last. */
export function withChange(table: SchemaTable, { property, value, hlc, node }: PropertyChange): SchemaTable {
  const before = table.histories.get(property);
  const declared = before === undefined ? propertyOf(table, property) : before.declared;
  const stamp = `${hlc}-${node}`;
  if (before?.stamps.includes(stamp)) return table;
  const stamps = [...(before?.stamps ?? []), stamp].slice(-STAMPS_MAX);
  const histories = new Map(table.histories).set(property, { declared, stamps });
  return { ...withValue(table, property, value), histories };
}

export function isSameValue(one: Value, other: Value): boolean {
  if (one === other) return true;
  return one !== undefined && other !== undefined && Buffer.compare(encodeValue(one), encodeValue(other)) === 0;
}

function declaredOf(table: SchemaTable, property: string): Value {
  const history = table.histories.get(property);
  return history === undefined ? propertyOf(table, property) : history.declared;
}

// -- two definitions --------------------------------------------------------------------------------------------------

function propertiesOf(...tables: readonly SchemaTable[]): string[] {
  const user = tables.flatMap(({ userProperties, histories }) => [
    ...[...userProperties.keys()].map(userProperty),
    ...histories.keys(),
  ]);
  return [...new Set([...CHANGEABLE, ...user])];
}

/** Whether the value in `ours` was set by somebody who knew the one in `theirs`. */
function knows(ours: SchemaTable, theirs: SchemaTable, property: string, isOneTable: boolean): boolean {
  const own = ours.histories.get(property)?.stamps ?? [];
  const last = theirs.histories.get(property)?.stamps.at(-1);
  if (last !== undefined) return own.includes(last);
  if (own.length === 0) return false;
  return isOneTable || isSameValue(declaredOf(ours, property), declaredOf(theirs, property));
}

/** Of two differing values the one that was set later stands; undefined where each was set without knowing the other. */
function standing(
  ours: SchemaTable,
  theirs: SchemaTable,
  property: string,
  isOneTable: boolean,
): SchemaTable | undefined {
  const oursKnows = knows(ours, theirs, property, isOneTable);
  if (oursKnows === knows(theirs, ours, property, isOneTable)) return undefined;
  return oursKnows ? ours : theirs;
}

export function differingProperty(ours: SchemaTable, theirs: SchemaTable, isOneTable: boolean): string | undefined {
  return propertiesOf(ours, theirs).find(
    (property) =>
      !isSameValue(propertyOf(ours, property), propertyOf(theirs, property)) &&
      standing(ours, theirs, property, isOneTable) === undefined,
  );
}

/** Whether a program that declares `made` means the table there is, changed as it may have been since. */
export function differenceFromDeclared(known: SchemaTable, made: SchemaTable): string | undefined {
  if (known.localContent !== made.localContent) return 'local_content';
  return propertiesOf(made).find((property) => {
    const value = propertyOf(made, property);
    return !isSameValue(value, propertyOf(known, property)) && !isSameValue(value, declaredOf(known, property));
  });
}

/** `elder` with the values that stand; of both where they were set alike, so that neither side's change is news. */
export function uniteProperties(elder: SchemaTable, younger: SchemaTable, isOneTable: boolean): SchemaTable {
  let united = elder;
  const histories = new Map<string, PropertyHistory>();
  for (const property of propertiesOf(elder, younger)) {
    const [one, other] = [elder, younger].map((table) => table.histories.get(property));
    if (isSameValue(propertyOf(elder, property), propertyOf(younger, property))) {
      const both = one === undefined ? other : other === undefined ? one : { ...one, stamps: unitedStamps(one, other) };
      if (both !== undefined) histories.set(property, both);
      continue;
    }
    const stands = standing(elder, younger, property, isOneTable) ?? elder;
    united = withValue(united, property, propertyOf(stands, property));
    const history = stands.histories.get(property);
    if (history !== undefined) histories.set(property, history);
  }
  return { ...united, histories };
}

function unitedStamps(one: PropertyHistory, other: PropertyHistory): string[] {
  const momentOf = (stamp: string): number => Number(stamp.slice(0, stamp.indexOf('-')));
  return [...new Set([...one.stamps, ...other.stamps])]
    .sort((a, b) => momentOf(a) - momentOf(b) || (a < b ? -1 : 1))
    .slice(-STAMPS_MAX);
}

// -- what a caller asks for ---------------------------------------------------------------------------------------------

/** @throws StorageError `bad_definition` */
export function checkProperty(table: SchemaTable, property: PropertyName, value: Value): void {
  const bad = (why: string): StorageError =>
    new StorageError('bad_definition', `Table "${table.name}" was not changed: ${property} ${why}.`, {
      table: table.name,
      property,
    });
  switch (property) {
    case 'merge': {
      const [rule, ownerField] = value as [unknown, unknown];
      if (!isRule(rule)) throw bad(`must be one of ${RULES.join(', ')}, or { function: name }`);
      if (table.majority && rule !== 'last_write') throw bad('must be last_write where a majority decides');
      if (rule === 'owner' && (typeof ownerField !== 'string' || ownerField === '')) {
        throw bad('"owner" needs the name of the field that holds the owner');
      }
      if (table.majority && rule !== 'last_write') throw bad('must stay last_write while a majority decides');
      return;
    }
    case 'load_order':
      if (!Number.isSafeInteger(value)) throw bad('must be a whole number');
      return;
    case 'majority':
      if (typeof value !== 'boolean') throw bad('must be true or false');
      if (value && table.merge !== 'last_write')
        throw bad('needs the merge rule last_write: what a majority wrote last is right');
      if (value && table.localContent) throw bad('has no meaning for a local_content table');
      if (value && table.merge !== 'last_write') throw bad('needs merge last_write: change that first');
      return;
    case 'access_mode':
      if (value !== 'read_only' && value !== 'read_write') throw bad('must be read_only or read_write');
      return;
    default: {
      const name = property.slice(USER.length);
      if (name.length === 0 || name.length > NAME_LENGTH_MAX) {
        throw bad(`needs a name of 1 to ${NAME_LENGTH_MAX} characters`);
      }
    }
  }
}
