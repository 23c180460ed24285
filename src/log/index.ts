/** The log room: lines of the event log, written and read. */
export { createEventLog, type EventLog, type EventLogOptions, type LogListener } from './event-log.ts';
export { escapeValue, formatLine, type LineContext } from './format.ts';
export {
  firstValueOf,
  type ParsedField,
  type ParsedLine,
  type ParseResult,
  parseLine,
  render,
  type Tag,
  valuesOf,
} from './parse.ts';
export { fixedZone, localTimestamp, type TimeZone, timeZone, utc, utcTimestamp } from './time.ts';
