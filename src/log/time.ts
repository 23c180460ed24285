/**
 * The two clocks of a log line (E133): local ISO 8601 time with offset before the host, UTC with a comma in `UTCTime`.
 * Calendar arithmetic is done here, on numbers, so that the simulator's time is written the same way as a peer's.
 */

const dayMs = 86_400_000;
const minuteMs = 60_000;

export interface CivilTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
}

/** Proleptic Gregorian calendar, counted in eras of 400 years that begin on 1 March. */
export function civilTime(ms: number): CivilTime {
  const days = Math.floor(ms / dayMs);
  const inDay = ms - days * dayMs;
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
    hour: Math.floor(inDay / 3_600_000),
    minute: Math.floor(inDay / minuteMs) % 60,
    second: Math.floor(inDay / 1000) % 60,
    millisecond: Math.floor(inDay % 1000),
  };
}

/** The inverse of `civilTime`. */
export function civilMs(time: CivilTime): number {
  const year = time.month <= 2 ? time.year - 1 : time.year;
  const era = Math.floor(year / 400);
  const yearOfEra = year - era * 400;
  const dayOfYear = Math.floor((153 * (time.month > 2 ? time.month - 3 : time.month + 9) + 2) / 5) + time.day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * 146_097 + dayOfEra - 719_468;
  return days * dayMs + ((time.hour * 60 + time.minute) * 60 + time.second) * 1000 + time.millisecond;
}

/** Minutes east of UTC at a moment. */
export type TimeZone = (utcMs: number) => number;

export const utc: TimeZone = () => 0;

/** A zone that never changes, such as −300 for UTC−05:00. */
export function fixedZone(offsetMinutes: number): TimeZone {
  return () => offsetMinutes;
}

const offsetForm = /^([+-])(\d{2}):?(\d{2})$/;

/**
 * `UTC`, a numeric offset (`-05:00`), an IANA name (`America/Chicago`), or this machine's own zone when absent. The
 * offset of a named zone is worked out once a quarter of an hour, the finest step zones change in.
 */
export function timeZone(name?: string): TimeZone {
  const numeric = name === undefined ? null : offsetForm.exec(name);
  if (numeric !== null) {
    const minutes = Number(numeric[2]) * 60 + Number(numeric[3]);
    if (minutes > 14 * 60) throw new RangeError(`Time zone "${name}" is more than 14 hours from UTC.`);
    return fixedZone(numeric[1] === '-' ? -minutes : minutes);
  }
  const parts = partsOf(name);
  let cachedQuarter = Number.NaN;
  let cachedOffset = 0;
  return (utcMs) => {
    const quarter = Math.floor(utcMs / (15 * minuteMs));
    if (quarter !== cachedQuarter) {
      const startMs = quarter * 15 * minuteMs;
      cachedOffset = Math.round((civilMs(parts(startMs)) - startMs) / minuteMs);
      cachedQuarter = quarter;
    }
    return cachedOffset;
  };
}

function partsOf(name: string | undefined): (ms: number) => CivilTime {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-GB', {
      ...(name === undefined ? {} : { timeZone: name }),
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
  } catch (cause) {
    throw new RangeError(
      `Time zone "${name}" is not known. Give an IANA name such as "America/Chicago", an offset such as "-05:00", or "UTC".`,
      { cause },
    );
  }
  return (ms) => {
    const values = new Map(format.formatToParts(ms).map((part) => [part.type, Number(part.value)]));
    const value = (type: Intl.DateTimeFormatPartTypes) => values.get(type) ?? 0;
    return {
      year: value('year'),
      month: value('month'),
      day: value('day'),
      hour: value('hour'),
      minute: value('minute'),
      second: value('second'),
      millisecond: 0,
    };
  };
}

function digits(value: number, width: number): string {
  return String(value).padStart(width, '0');
}

function date(time: CivilTime): string {
  return `${digits(time.year, 4)}-${digits(time.month, 2)}-${digits(time.day, 2)}`;
}

function timeOfDay(time: CivilTime): string {
  return `${digits(time.hour, 2)}:${digits(time.minute, 2)}:${digits(time.second, 2)}`;
}

/** `2020-07-21T15:16:50.321-05:00` */
export function localTimestamp(ms: number, zone: TimeZone): string {
  const offset = zone(ms);
  const local = civilTime(ms + offset * minuteMs);
  const distance = Math.abs(offset);
  const sign = offset < 0 ? '-' : '+';
  const numericOffset = `${sign}${digits(Math.floor(distance / 60), 2)}:${digits(distance % 60, 2)}`;
  return `${date(local)}T${timeOfDay(local)}.${digits(local.millisecond, 3)}${numericOffset}`;
}

/** `2020-07-21 20:16:50,321` */
export function utcTimestamp(ms: number): string {
  const time = civilTime(ms);
  return `${date(time)} ${timeOfDay(time)},${digits(time.millisecond, 3)}`;
}

/** `2020-08-12 20:13:24`, as the web line has it. */
export function utcTimestampSeconds(ms: number): string {
  const time = civilTime(ms);
  return `${date(time)} ${timeOfDay(time)}`;
}

const localForm = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})\.(\d{3})([+-])(\d{2}):(\d{2})$/;

/** Ms since the epoch of a line's prefix time, or undefined when it is none. */
export function parseLocalTimestamp(text: string): { readonly ms: number; readonly offsetMinutes: number } | undefined {
  const found = localForm.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second, millisecond] = found.slice(1, 8).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const distance = Number(found[9]) * 60 + Number(found[10]);
  const offsetMinutes = found[8] === '-' ? -distance : distance;
  const ms = civilMs({ year, month, day, hour, minute, second, millisecond }) - offsetMinutes * minuteMs;
  return { ms, offsetMinutes };
}
