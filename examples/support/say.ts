/** What an example prints. One line at a time, so that a test can read it. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** An option of the command line as `--name value`. */
export function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Asks again and again until `holds` says yes; an example that waits for ever would show nothing. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`After ${limitMs} ms still awaited: ${what}.`);
    await sleep(50);
  }
}

/** Runs an example: whatever goes wrong ends it with code 1. */
export function main(run: () => Promise<void>): void {
  run().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  });
}
