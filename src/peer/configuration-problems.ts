/** Turns what zod found into what a person needs: where, what is wrong, what is allowed, an example, a likely meaning. */
import { z } from 'zod';
import { configurationSchema, type FieldHelp } from './configuration-schema.ts';
import { nearestName } from './nearest.ts';

export interface ConfigurationProblem {
  /** `cluster.peers[2]`, or empty for the file itself. */
  readonly path: string;
  readonly what: string;
  readonly allowed?: string;
  readonly example?: string;
}

export class ConfigurationError extends Error {
  readonly file: string;
  readonly problems: readonly ConfigurationProblem[];

  constructor(file: string, problems: readonly ConfigurationProblem[]) {
    super(`The configuration file ${file} cannot be used.\n${problems.map(problemText).join('\n')}`);
    this.name = 'ConfigurationError';
    this.file = file;
    this.problems = problems;
  }
}

function problemText(problem: ConfigurationProblem): string {
  const lines = [`  ${problem.path === '' ? 'file' : problem.path}: ${problem.what}`];
  if (problem.allowed !== undefined) lines.push(`    allowed: ${problem.allowed}`);
  if (problem.example !== undefined) lines.push(`    example: ${problem.example}`);
  return lines.join('\n');
}

export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
  }
  return text;
}

/** Default and optional wrap the schema of interest; the help stands on the outermost that has any. */
function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodOptional) inner = inner.unwrap() as z.ZodType;
  return inner;
}

function schemaAt(path: readonly PropertyKey[]): z.ZodType | undefined {
  let schema: z.ZodType | undefined = configurationSchema;
  for (const part of path) {
    const inner: z.ZodType = unwrap(schema);
    if (inner instanceof z.ZodObject) schema = inner.shape[String(part)] as z.ZodType | undefined;
    else if (inner instanceof z.ZodArray) schema = inner.element as z.ZodType;
    else return undefined;
    if (schema === undefined) return undefined;
  }
  return schema;
}

export function helpAt(path: readonly PropertyKey[]): FieldHelp | undefined {
  const schema = schemaAt(path);
  if (schema === undefined) return undefined;
  const meta = (schema.meta() ?? unwrap(schema).meta()) as Partial<FieldHelp> | undefined;
  if (meta?.allowed === undefined || meta.example === undefined) return undefined;
  return { allowed: meta.allowed, example: meta.example };
}

function fieldsAt(path: readonly PropertyKey[]): readonly string[] {
  const schema = schemaAt(path);
  const inner = schema === undefined ? undefined : unwrap(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

function unknownKeys(path: readonly PropertyKey[], keys: readonly string[]): ConfigurationProblem[] {
  const known = fieldsAt(path);
  return keys.map((key) => {
    const nearest = nearestName(key, known);
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`;
    return {
      path: pathText([...path, key]),
      what: `there is no such field.${hint}`,
      allowed: `one of ${known.join(', ')}`,
    };
  });
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

export function problemAt(path: readonly PropertyKey[], what: string): ConfigurationProblem {
  return { path: pathText(path), what, ...helpAt(path) };
}

export function problemsOf(issues: readonly z.core.$ZodIssue[], root: unknown): ConfigurationProblem[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return unknownKeys(issue.path, issue.keys);
    const value = valueAt(root, issue.path);
    if (value === undefined) {
      const fields = fieldsAt(issue.path);
      const allowed = fields.length === 0 ? {} : { allowed: `an object with the fields ${fields.join(', ')}` };
      return [{ ...problemAt(issue.path, 'it is missing.'), ...allowed }];
    }
    const why = issue.code === 'custom' || issue.code === 'invalid_format' ? `: ${issue.message}` : '';
    return [problemAt(issue.path, `${shown(value)} is not allowed${why}.`)];
  });
}
