// Forms with scripts off: nothing may depend on WebAssembly having arrived.
import { person, signIn } from '../signin.mjs';
import { world } from '../summary.mjs';
import { expect, test } from './visitor.js';

const id = Date.now().toString(36);
const NO_SCRIPTS = { javaScriptEnabled: false };

test('signing in leads back to the page that was asked for, and signing out ends it', async ({ browser, demo }) => {
  const context = await browser.newContext({ baseURL: demo.address, ...NO_SCRIPTS });
  const page = await context.newPage();
  await page.goto(`/t/${demo.tenant}/runs`);
  await expect(page).toHaveURL(/\/login\?return_to=/);
  await signIn(page, person(demo, 'viewer'), `/t/${demo.tenant}/runs`);
  await expect(page).toHaveURL(new RegExp(`/t/${demo.tenant}/runs$`));
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Runs');
  await page.goto('/?choose=1');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.goto(`/t/${demo.tenant}/runs`);
  await expect(page).toHaveURL(/\/login/);
  await context.close();
});

test('a dataset is uploaded and its report read', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/datasets-new`);
  await page.getByLabel('Dataset', { exact: true }).fill(`plain-${id}`);
  await page.getByLabel('Source').fill('Typed by hand');
  await page.getByLabel('JSON or JSONL').setInputFiles(world('datasets/broken-rows.jsonl'));
  await page.getByRole('button', { name: 'Upload and check' }).click();
  await expect(page).toHaveURL(new RegExp(`/datasets/plain-${id}\\?v=1`));
  await expect(async () => {
    await page.reload();
    await expect(page.getByText('13 rows left out')).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 20_000 });
  await expect(page.getByText('DS-ROLE-UNKNOWN', { exact: true })).toBeVisible();
});

test('an upload without a usable name comes back with a sentence', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/datasets-new`);
  await page.getByLabel('Dataset', { exact: true }).fill('../Über mich');
  await page.getByLabel('JSON or JSONL').setInputFiles(world('datasets/broken-rows.jsonl'));
  await page.getByRole('button', { name: 'Upload and check' }).click();
  await expect(page.getByRole('alert')).toContainText('cannot be used as a name');
  await page.getByRole('link', { name: 'Back to the upload' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/dataset|version/i);
});

test('a run with a wrong field comes back with what was typed and why', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/runs-new`);
  await page.getByLabel('Name of the run').fill(`wrong-${id}`);
  await page.getByLabel('Learning rate').fill('7');
  await page.getByRole('button', { name: 'Check' }).click();
  await expect(page.getByLabel('Learning rate')).toHaveValue('7');
  await expect(page.getByText('Learning rate must be a number, more than 0 and at most 1.').first()).toBeVisible();
  // The button is marked as off, but without scripts it still sends; the server has the last word.
  await page.getByRole('button', { name: 'Start run' }).click({ force: true });
  await expect(page.getByRole('alert')).toContainText('Learning rate must be a number, more than 0 and at most 1.');
  await page.goto(`/t/${demo.tenant}/runs?q=wrong-${id}`);
  await expect(page.getByText(`wrong-${id}`, { exact: true })).toHaveCount(0);
});

test('a key is made and seen once', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/keys-new`);
  await page.getByLabel('Name').fill(`plain ${id}`);
  await page.getByRole('button', { name: 'Create key' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText(`plain ${id}`);
  const secret = await page.getByText(/^atl_[\w-]{50,}$/).first().innerText();
  expect(page.url()).not.toContain('atl_');
  await page.goto(`/t/${demo.tenant}/keys`);
  expect(await page.content()).not.toContain(secret);
  await page.getByRole('link', { name: `Revoke plain ${id}` }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(page.getByRole('row').filter({ hasText: `plain ${id}` })).toContainText('Revoked');
});

test('a key with a wrong field comes back with what was typed and why', async ({ visit, demo }) => {
  const page = await visit('engineer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/keys-new`);
  await page.getByLabel('Name').fill(`wrong ${id}`);
  await page.getByLabel('Requests').fill('many');
  await page.getByRole('button', { name: 'Create key' }).click();
  await expect(page.getByText('“many” is not a whole number.').first()).toBeVisible();
  await expect(page.getByLabel('Name')).toHaveValue(`wrong ${id}`);
});

test('a question in the playground is answered and kept', async ({ visit, demo }) => {
  const page = await visit('viewer', NO_SCRIPTS);
  await page.goto(`/t/${demo.tenant}/playground?model=${demo.tuned_model}&mode=chat`);
  await page.getByRole('textbox', { name: 'Message' }).fill('Hello');
  await page.getByRole('button', { name: /^Send/ }).click();
  await expect(page).toHaveURL(/\/playground\/chat_/, { timeout: 30_000 });
  await expect(page.getByText(/\d+\stokens?/).first()).toBeVisible();
});
