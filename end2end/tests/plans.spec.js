// Plans of steps as people meet them: what a run is to leave decides its plan, and a step that failed can be tried again.
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);
const NO_SCRIPTS = { javaScriptEnabled: false };

const plan = (page) => page.getByRole('region', { name: 'Plan' }).locator('ol.steps > li');
const step = (page, name) => plan(page).filter({ has: page.locator('b', { hasText: new RegExp(`^${name}`) }) });
const names = async (page) => (await plan(page).locator('b').allTextContents()).map((text) => text.split(',')[0].trim());
const chip = (page) => page.locator('header.head .chip');

/** Ends what a test has started: others need the machine. */
async function stop(page) {
  await page.goto(`${page.url().split('?')[0]}?ask=stop`);
  await page.getByRole('button', { name: 'Stop the run' }).click();
  // Only then may the page be closed: Chromium sometimes never ends closing one that is under way to another.
  await expect(page).not.toHaveURL(/ask=stop/, { timeout: 60_000 });
}

/** Looks again until it is so: a page without scripts does not change by itself. */
async function reloaded(page, seen) {
  await expect(async () => {
    await page.reload();
    await seen();
  }).toPass({ timeout: 170_000 });
}

test('merged weights as the result make a plan with the step that merges, and an adapter one without it', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs/${demo.run}`);
  expect(await names(page)).toEqual(['Prepare', 'Train', 'Evaluate', 'Publish']);
  await open(page, `/t/${demo.tenant}/runs-new?dataset=${demo.dataset}`);
  await page.getByLabel('Result').selectOption({ label: 'Merged weights' });
  await page.getByLabel('Name of the run').fill(`merged-${id}`);
  await page.getByRole('button', { name: 'Start run' }).click();
  await expect(page).toHaveURL(/\/runs\/run_/, { timeout: 60_000 });
  await expect(plan(page)).toHaveCount(5);
  expect(await names(page)).toEqual(['Prepare', 'Train', 'Merge', 'Evaluate', 'Publish']);
  await expect(step(page, 'Merge')).toContainText('Waits for the training.');
  await expect(step(page, 'Evaluate')).toContainText('Waits for the merged weights.');
  // A copy of it merges too.
  const run = new URL(page.url()).pathname.split('/').pop();
  await open(page, `/t/${demo.tenant}/runs-new?from=${run}`);
  await expect(page.getByLabel('Result')).toHaveValue('merged');
  await open(page, `/t/${demo.tenant}/runs/${run}`);
  await stop(page);
  page.watch.quiet();
});

test('without scripts the result reaches the plan too', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/runs-new?dataset=${demo.dataset}`);
  await page.getByLabel('Result').selectOption({ label: 'Merged weights' });
  await page.getByLabel('Name of the run').fill(`plainly-merged-${id}`);
  await page.getByRole('button', { name: 'Start run' }).click();
  await expect(page).toHaveURL(/\/runs\/run_/, { timeout: 60_000 });
  expect(await names(page)).toEqual(['Prepare', 'Train', 'Merge', 'Evaluate', 'Publish']);
  await expect(step(page, 'Merge')).toContainText('Waits for the training.');
  await stop(page);
});

test('a step that has failed is tried again from the page, with scripts and without', async ({ visit, demo }) => {
  test.setTimeout(600_000);
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?dataset=${demo.dataset}`);
  await page.getByLabel('Name of the run').fill(`failing-${id}`);
  await page.getByText('Advanced settings').click();
  // The trainer finds out that the model has no such part.
  await page.getByLabel('LoRA target').fill('no_such_proj');
  await page.getByRole('button', { name: 'Start run' }).click();
  await expect(page).toHaveURL(/\/runs\/run_/, { timeout: 60_000 });
  await expect(chip(page)).toHaveText('Failed', { timeout: 170_000 });
  await expect(page.getByRole('region', { name: 'Why it failed' })).toContainText('bad_lora_target');
  await expect(step(page, 'Train')).toHaveClass('failed');
  await expect(step(page, 'Evaluate')).toContainText('Not reached, because an earlier step failed.');

  const again = page.getByRole('button', { name: 'Try this step again' });
  await again.click();
  await expect(chip(page)).not.toHaveText('Failed');
  await expect(again).toHaveCount(0);
  await expect(step(page, 'Train')).not.toHaveClass('failed');
  // The cause is still there.
  await expect(chip(page)).toHaveText('Failed', { timeout: 170_000 });
  page.watch.quiet();

  const plain = await visit('engineer', NO_SCRIPTS);
  await plain.goto(page.url());
  await plain.getByRole('button', { name: 'Try this step again' }).click();
  await expect(plain).toHaveURL(/\/runs\/run_/);
  await expect(chip(plain)).not.toHaveText('Failed');
  await reloaded(plain, () => expect(step(plain, 'Prepare')).toHaveClass(/active|done/, { timeout: 500 }));
  await stop(plain);
  // Where it was stopped it can go on, too.
  await reloaded(plain, () => expect(plain.getByRole('region', { name: 'Where it was stopped' })).toBeVisible({ timeout: 500 }));
});
