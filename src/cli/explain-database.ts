/** What each error code of the database means to an operator. The compiler sees to it that none is missing. */

import type { StorageErrorCode } from '../../storage/errors.ts';
import type { Explanation } from './errors.ts';

export const databaseErrors: Readonly<Record<StorageErrorCode, Explanation>> = {
  no_such_table: {
    what: 'A table of that name does not exist.',
    why: 'It was mistyped, or deleted.',
    remedy: 'Look at the tables with `peerage status`.',
  },
  table_exists: {
    what: 'A table of that name exists already, defined differently.',
    why: 'Two programs, or two versions of one, define it in two ways.',
    remedy: 'Use the existing definition, or another name.',
  },
  bad_key: {
    what: 'A key cannot be stored.',
    why: 'It is of a kind that has no order, or too long.',
    remedy: 'Use a string, a number, octets, or a list of them, within the limit the message names.',
  },
  bad_value: {
    what: 'A value cannot be stored.',
    why: 'It holds something that cannot be written down, such as a function, or is too large.',
    remedy: 'The message names the place inside the value; change it there.',
  },
  bad_definition: {
    what: 'A table definition is not valid.',
    why: 'One of its properties has a value that is not allowed.',
    remedy: 'The message names the property and what it may be.',
  },
  aborted: {
    what: 'A transaction was given up; nothing of it was stored.',
    why: 'Its function asked for it, failed, or met more conflicts than its limit of reruns allows.',
    remedy: 'Read the reason in the message. After conflicts try again; what a function throws is its own business.',
  },
  no_majority: {
    what: 'A write to a table that asks for a majority was refused.',
    why: 'No more than half of the peers that hold the table can be reached.',
    remedy:
      'Bring peers back or heal the network; see `peerage status`. Where the message says that the outcome is not known, read before trying again.',
  },
  table_not_loaded: {
    what: 'A table is not loaded yet.',
    why: 'This peer waits for one that may hold newer rows; the message names it.',
    remedy:
      'Start the awaited peers. If they are lost for good, load the table by force at the peer with the newest rows.',
  },
  node_not_running: {
    what: 'The database of another peer cannot be reached.',
    why: 'Its process is gone, or there is no link to it.',
    remedy: 'See `peerage status`, which says why.',
  },
  node_running: {
    what: 'A node was not removed from the cluster.',
    why: 'It runs: only one that is down for good can be removed.',
    remedy: 'Stop it, and remove it at another peer.',
  },
  node_removed: {
    what: 'This peer was removed from the cluster for good and takes no writes.',
    why: 'It was down, or cut off, when somebody removed it or another one joined under its name; nobody has kept what it lacks.',
    remedy: 'Stop it and start it with an empty data directory: it joins as a new one.',
  },
  read_only: {
    what: 'The table cannot be written.',
    why: 'Its access mode is read_only.',
    remedy: 'Allow writes with changeTableAccessMode.',
  },
  disc_full: {
    what: 'The disc of a peer is full.',
    why: 'Its data directory has no room left.',
    remedy: 'Free space on that disc and start the peer again: until then it answers reads and takes no writes.',
  },
  disc_io: {
    what: 'A disc operation failed.',
    why: 'The disc or its driver reported an error.',
    remedy: 'Check the disc. The other peers hold the same rows: a new disc is filled from them.',
  },
  disc_corrupt: {
    what: 'The data on disc is damaged.',
    why: 'What was read is not what was written.',
    remedy: 'Keep a copy of the data directory, empty it, and start the peer: it fetches everything from the others.',
  },
  disc_locked: {
    what: 'The data directory is in use.',
    why: 'Another process has it open; only one may.',
    remedy: 'Stop that process. In a lab, `peerage lab status` shows which peers run.',
  },
  disc_format: {
    what: 'The data directory has a format this version does not know.',
    why: 'It was written by another version.',
    remedy: 'Run that version, or name another data directory: the node copies its tables from the others.',
  },
  schema_conflict: {
    what: 'Two peers hold different definitions of one table.',
    why: 'They were made or changed apart from each other.',
    remedy:
      'Decide which one is right. Where a property was changed, change it to the same value on the other side; or delete the table on one side: the other side keeps its own.',
  },
  overloaded: {
    what: 'A peer takes no more work at the moment.',
    why: 'One of its queues is at its limit.',
    remedy: 'Wait as long as the answer says and try again, with fewer requests at once.',
  },
  transaction_too_large: {
    what: 'A transaction writes more than one may.',
    why: 'All its writes go to the other peers in one message, and that is bounded.',
    remedy: 'Write the rows in several transactions.',
  },
  deadline: {
    what: 'The work was not done within its time.',
    why: 'A lock, a peer or the disc took too long.',
    remedy: 'Try again; if it stays, see `peerage status` for slow links.',
  },
  nested_await: {
    what: 'A transaction was begun inside the function of another one.',
    why: 'The inner one would be made even if the outer one is not, and could make that one run for ever.',
    remedy: 'Do the work of the inner one with the outer transaction, or after it.',
  },
  closed: {
    what: 'The database is closed.',
    why: 'The peer is stopping, or its database failed.',
    remedy: 'Use another peer, or start this one again.',
  },
  no_such_ledger_entry: {
    what: 'The ledger has no entry of that id.',
    why: 'It was mistyped, or comes from another cluster.',
    remedy: 'List the entries; only those can be restored.',
  },
  ledger_entry_settled: {
    what: 'The ledger entry is settled: it was restored, or accepted as it is.',
    why: 'Somebody else did so, or the same request was made twice.',
    remedy: 'Look at the row. If the other value is wanted all the same, write it as any value.',
  },
};
