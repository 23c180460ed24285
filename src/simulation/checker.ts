/** What a checker is: a pure function over a history that answers with what is wrong, in words. */
import type { History } from './history.ts';

export interface Violation {
  readonly checker: string;
  readonly text: string;
}

/** Notes how much was looked at, so that a check that never applies is noticed. */
export type Count = (what: string, by?: number) => void;

export type Checker = (history: History, count: Count) => Violation[];
