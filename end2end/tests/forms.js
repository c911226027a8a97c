// What the main job's tests fill in and look at, on this machine and on a cluster.
import { open } from './visitor.js';

/** Fills the upload form and sends it; ends on the dataset's page. */
export async function upload(page, t, name, file, base) {
  await open(page, `${t}/datasets-new`);
  await page.getByLabel('Dataset', { exact: true }).fill(name);
  await page.getByLabel('Tokenizer').selectOption(base);
  await page.getByLabel('Held out for evaluation').fill('10');
  await page.getByLabel('Source').fill('The generator of the demo world');
  await page.getByLabel('Licence').fill('CC0-1.0');
  await page.getByLabel('Languages').fill('en');
  await page.getByLabel('Personal data').selectOption('none');
  await page.getByLabel('JSON or JSONL').setInputFiles(file);
  await page.getByRole('button', { name: 'Upload and check' }).click();
  await page.waitForURL(new RegExp(`/datasets/${name}`));
}

/** The lineage strip under the top bar: its places by label. */
export const strip = (page, label) => page.getByRole('navigation', { name: 'Lineage' }).getByRole('listitem').filter({ hasText: label });
