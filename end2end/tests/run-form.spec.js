// The form of a new run thinks along: names follow the data, and what can hardly be meant is said.
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);

/** Uploads a small dataset; the address of its page. */
async function upload(page, demo, name) {
  const rows = Array.from({ length: 12 }, (_, i) => JSON.stringify({ messages: [{ role: 'user', content: `Question ${i}?` }, { role: 'assistant', content: `Answer ${i}.` }] })).join('\n');
  const sent = await page.request.post(`/t/${demo.tenant}/datasets-upload`, {
    headers: { origin: demo.address, accept: 'application/json' },
    multipart: { name, held_out_percent: '10', tokenizer: '', file: { name: 'rows.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(rows) } },
  });
  return (await sent.json()).href;
}

test('a new run begins with the dataset that was looked at last, and its names follow the dataset until somebody edits them', async ({ visit, demo }) => {
  const page = await visit('engineer');
  // First in the alphabet, last uploaded: neither is what was looked at last.
  const name = `aaa-${id}`;
  await open(page, await upload(page, demo, name));
  await expect(page.locator('header.head .chip')).toHaveText('Ready', { timeout: 120_000 });

  await open(page, `/t/${demo.tenant}/datasets/${demo.dataset}`);
  await open(page, `/t/${demo.tenant}/runs-new`);
  const [dataset, run, model] = [page.getByLabel('Dataset', { exact: true }), page.getByLabel('Name of the run'), page.getByLabel('Becomes a version of')];
  await expect(dataset).toHaveValue(new RegExp(`^${demo.dataset}@`));
  await expect(model).toHaveValue(demo.dataset);
  await dataset.selectOption(`${name}@1`);
  await expect(model).toHaveValue(name);
  await expect(run).toHaveValue(`${name}-1`);
  await model.fill('my-own-name');
  await dataset.selectOption({ index: await dataset.evaluate((s) => [...s.options].findIndex((o) => !o.selected)) });
  await expect(model).toHaveValue('my-own-name');
  await expect(run).not.toHaveValue(`${name}-1`);
  page.watch.quiet();
});

test('a page that only reads itself again is not what was looked at last', async ({ visit, demo }) => {
  const [left, page] = [await visit('engineer'), await visit('engineer')];
  await open(left, await upload(left, demo, `left-${id}`));
  await expect(left.locator('header.head .chip')).toHaveText('Ready', { timeout: 120_000 });
  await open(page, `/t/${demo.tenant}/datasets/${demo.dataset}`);
  const again = left.waitForResponse((answer) => answer.url().includes('/rpc/datasets/get'));
  await upload(page, demo, `event-${id}`);
  await (await again).finished();
  await open(page, `/t/${demo.tenant}/runs-new`);
  await expect(page.getByLabel('Dataset', { exact: true })).toHaveValue(new RegExp(`^${demo.dataset}@`));
  page.watch.quiet();
});

test('a learning rate and a warm-up that cannot be meant are asked about and hold nothing up', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?dataset=${demo.dataset}`);
  const start = page.getByRole('button', { name: 'Start run' });
  await page.getByLabel('Learning rate').fill('0.5');
  await expect(page.locator('#learning_rate-says')).toContainText('usually destroys the model');
  await expect(start).not.toHaveAttribute('aria-disabled', 'true');
  await page.getByRole('button', { name: 'Use 2e-4' }).click();
  await expect(page.getByLabel('Learning rate')).toHaveValue('2e-4');
  await expect(page.locator('#learning_rate-says')).not.toContainText('destroys');
  await page.getByText('Advanced settings').click();
  await page.getByLabel('Warm-up').fill('99999');
  await expect(page.locator('#warmup_steps-says')).toContainText('all of it would be warm-up');
  await expect(start).not.toHaveAttribute('aria-disabled', 'true');
  page.watch.quiet();
});

test('the fields stand in the order of the trainer’s file', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?dataset=${demo.dataset}`);
  await page.getByText('Advanced settings').click();
  const shown = await page.locator('#run-form label code.key').allInnerTexts();
  const file = await page.getByRole('region', { name: 'The run as YAML' }).innerText();
  const keys = file.split('\n').map((line) => line.split(':')[0]).filter((key) => shown.includes(key));
  expect(shown.length).toBe(12);
  expect(shown).toEqual(keys);
});
