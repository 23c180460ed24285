/** Whether two values that a message may hold are the same, field by field. No text is made of them: reports are large. */
export function isSameContent(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (isSequence(one) || isSequence(other)) {
    if (!isSequence(one) || !isSequence(other) || one.length !== other.length) return false;
    for (let index = 0; index < one.length; index++) if (!isSameContent(one[index], other[index])) return false;
    return true;
  }
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  const [ours, theirs] = [one as Record<string, unknown>, other as Record<string, unknown>];
  return names.every((name) => Object.hasOwn(theirs, name) && isSameContent(ours[name], theirs[name]));
}

function isSequence(value: object): value is readonly unknown[] {
  return Array.isArray(value) || value instanceof Uint8Array;
}
