// What the demo left behind: where the portal is, who can sign in, and the names of what was made.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The demo's summary as an object; `file` beside it is where it was read. */
export function summary(file = process.env.ATELIER_SUMMARY) {
  if (!file) throw new Error('ATELIER_SUMMARY must name the summary file of the demo: make demo ARGS="--summary FILE"');
  return { ...JSON.parse(readFileSync(file, 'utf8')), file: resolve(file) };
}

/** A file of the demo world: `world('datasets/broken-rows.jsonl')`. */
export function world(name) {
  return join(dirname(fileURLToPath(import.meta.url)), '..', 'examples', 'world', name);
}

/** The facts that the fine-tune teaches: `[{ question, answer }]`, every question about Lumenta, Velkor or their products once. */
export function facts() {
  const rows = readFileSync(world('datasets/lumenta-facts.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line).messages);
  const about = /Lumenta|Velkor|Tavik|Orlix|Belmo|Zelcor|Pranex|Sulfin|Kelwen/;
  return rows
    .map((m) => ({ question: m[0].content, answer: m[1].content }))
    .filter((fact) => about.test(fact.question) && about.test(fact.answer));
}
