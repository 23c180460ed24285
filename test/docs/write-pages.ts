/** Brings the made parts of the documents up to date: `npx tsx test/docs/write-pages.ts`. */
import { writeFileSync } from 'node:fs';
import { DOCS, errorsPage, page, withFields } from './pages.ts';

writeFileSync(`${DOCS}/errors.md`, errorsPage());
writeFileSync(`${DOCS}/own-peers.md`, withFields(page('own-peers.md')));
