/** Parts of the documents that follow from the source: made here, and compared with what the pages hold. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type CliErrorCode, cliErrors, type Explanation } from '../../src/cli/errors.ts';
import { allExplanations } from '../../src/cli/explain.ts';
import { databaseErrors } from '../../src/cli/explain-database.ts';
import { configurationSchema } from '../../src/peer/configuration-schema.ts';

export const DOCS = fileURLToPath(new URL('../../docs', import.meta.url));

export function page(name: string): string {
  return readFileSync(`${DOCS}/${name}`, 'utf8');
}

function paragraph(code: string, { what, why, remedy }: Explanation, note = ''): string {
  return `### ${code}\n\n${what} ${why} *What to do:* ${remedy}${note}\n`;
}

export function errorsPage(): string {
  const database = Object.entries(databaseErrors).map(([code, text]) => paragraph(code, text));
  const command = (Object.keys(cliErrors) as CliErrorCode[]).map((code) =>
    paragraph(code, cliErrors[code], ` Exit code ${cliErrors[code].exit}.`),
  );
  const api = allExplanations()
    .filter(({ kind }) => kind === 'peer')
    .map((text) => paragraph(text.code, text));
  return `# Error codes

Every error has a code that does not change, and a text that says what happened, why, and what to do. \`npx peerage explain CODE\` prints the paragraphs below, and those
of the alarms. Exit codes are in [exit-codes.md](exit-codes.md).

## Of the database

\`StorageError\` in \`storage/errors.ts\`: the code in \`code\`, what it was about in \`fields\` (table, key, nodes, path inside a value, when to try again). Unless the message
says that the outcome is not known, nothing was changed.

${database.join('\n')}
## Of the API

Answers of a peer carry \`{ error: { code, what, why, do } }\`.

${api.join('\n')}
## Of the command line

${command.join('\n')}`;
}

interface Field {
  readonly path: string;
  readonly allowed: string;
  readonly fallback: string;
}

function unwrap(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodOptional
    ? unwrap(schema.unwrap() as z.ZodType)
    : schema;
}

/** What a field is when it is left out. Objects default to what their fields default to. */
function fallbackOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodOptional) return 'absent';
  if (!(schema instanceof z.ZodDefault)) return '';
  return `\`${JSON.stringify(schema.parse(undefined))}\``;
}

export function fieldsOf(schema: z.ZodType = configurationSchema, path = ''): Field[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    const below = Object.entries(inner.shape).flatMap(([name, field]) =>
      fieldsOf(field as z.ZodType, path === '' ? name : `${path}.${name}`),
    );
    return schema instanceof z.ZodOptional ? [{ path, allowed: 'an object', fallback: 'absent' }, ...below] : below;
  }
  const allowed = ((schema.meta() ?? inner.meta()) as { allowed?: string } | undefined)?.allowed ?? '';
  const own = { path, allowed, fallback: fallbackOf(schema) };
  if (inner instanceof z.ZodArray && unwrap(inner.element as z.ZodType) instanceof z.ZodObject) {
    return [own, ...fieldsOf(inner.element as z.ZodType, `${path}[]`)];
  }
  return [own];
}

export function fieldsTable(): string {
  const rows = fieldsOf().map(({ path, allowed, fallback }) => `| \`${path}\` | ${allowed} | ${fallback} |`);
  return ['| field | allowed | default |', '| --- | --- | --- |', ...rows].join('\n');
}

const MARKS = /(<!-- fields -->\n)[\s\S]*?(<!-- \/fields -->)/;

/** The page with the table as the schema has it. */
export function withFields(text: string): string {
  if (!MARKS.test(text)) throw new Error('the page has no marks for the fields');
  return text.replace(MARKS, (_, begin: string, end: string) => `${begin}${fieldsTable()}\n${end}`);
}
