/** The known name a person most likely meant. */

/** Edits (insert, delete, replace) from `a` to `b`. Both are short: names of fields and commands. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

/** `undefined` when nothing is near: a wrong hint is worse than none. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const asked = name.toLowerCase().slice(0, 64);
  const begun = known.filter((candidate) => candidate.toLowerCase().startsWith(asked));
  if (asked.length >= 3 && begun.length === 1) return begun[0];
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(asked.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(asked, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
