// What set-up tells the person who waits for it. Everything goes to stderr, so that `-o json` stays clean on stdout.

/** @param {string} text */
export function say(text) {
  process.stderr.write(`peerage: ${text}\n`);
}

/** A failure a person can act on: what happened – why – what to do. */
export class SetupError extends Error {
  /**
   * @param {string} what
   * @param {string} why
   * @param {string} remedy
   * @param {string} code
   */
  constructor(what, why, remedy, code) {
    super(`${what} – ${why} – ${remedy} (${code})`);
    this.name = 'SetupError';
    this.code = code;
  }
}

/**
 * Prints a failure and gives the exit code of a failed set-up: 5, as in the table of `peerage --help`.
 * @param {unknown} failure
 */
export function sayFailure(failure) {
  if (failure instanceof SetupError) say(failure.message);
  else say(`set-up failed: ${failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)}`);
  return 5;
}

/** @param {number} fromMs */
export function seconds(fromMs) {
  return `${((Date.now() - fromMs) / 1000).toFixed(1)} s`;
}
