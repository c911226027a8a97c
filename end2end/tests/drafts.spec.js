// What was typed is not lost: not to a session that ended, not to a page that was left.
import { storageState } from '../signin.mjs';
import { person, signIn } from '../signin.mjs';
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);

/** Somebody with a session of their own, which may end. */
async function alone(browser, demo, role) {
  const context = await browser.newContext({ baseURL: demo.address, storageState: await storageState(browser, demo, role), timezoneId: 'UTC' });
  return { context, page: await context.newPage() };
}

for (const [name, path, field, send] of [
  ['a card', ({ tenant, tuned_model: m }) => `/t/${tenant}/models/${m}/card/edit?v=1`, (page) => page.locator('#card-form textarea:not([readonly])').first(), /^Save/],
  ['the documentation of a dataset', ({ tenant, dataset: d }) => `/t/${tenant}/datasets/${d}?tab=card`, (page) => page.locator('#notes'), /^Save/],
  ['a run', ({ tenant }) => `/t/${tenant}/runs-new`, (page) => page.getByLabel('Becomes a version of'), /^Start run/],
]) {
  test(`a session that ends in the middle of ${name} loses no text`, async ({ browser, demo }) => {
    const { context, page } = await alone(browser, demo, 'engineer');
    await open(page, path(demo));
    const text = `kept-${id}`;
    await field(page).fill(text);
    await context.clearCookies();
    await page.getByRole('button', { name: send }).first().click();
    await expect(page.getByRole('link', { name: /^Sign in/ }).first()).toBeVisible();
    // Somebody else at the same browser is not shown it.
    await signIn(page, person(demo, 'owner'), path(demo));
    await expect(page.locator('body[data-hydrated]')).toBeVisible({ timeout: 60_000 });
    await expect(field(page)).not.toHaveValue(text);
    await expect(page.getByText('You have unsaved changes')).toHaveCount(0);
    await context.clearCookies();
    await signIn(page, person(demo, 'engineer'), path(demo));
    await expect(page.getByText('You have unsaved changes')).toBeVisible({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Restore' }).click();
    await expect(field(page)).toHaveValue(text);
    await expect(page.getByText('You have unsaved changes')).toHaveCount(0);
    // Discarded, it does not come back.
    await page.reload();
    await page.getByRole('button', { name: 'Discard' }).click({ timeout: 60_000 });
    await page.reload();
    await expect(page.locator('body[data-hydrated]')).toBeVisible({ timeout: 60_000 });
    await expect(page.getByText('You have unsaved changes')).toHaveCount(0);
    await context.close();
  });
}

test('what was saved is not offered again', async ({ browser, demo }) => {
  const { context, page } = await alone(browser, demo, 'engineer');
  await open(page, `/t/${demo.tenant}/datasets/${demo.dataset}?tab=card`);
  await page.locator('#notes').fill(`saved-${id}`);
  const saved = page.waitForResponse((answer) => answer.url().endsWith('/rpc/datasets/document'));
  await page.getByRole('button', { name: 'Save' }).click();
  expect((await saved).ok()).toBe(true);
  await open(page, `/t/${demo.tenant}/datasets/${demo.dataset}?tab=card`);
  await expect(page.locator('#notes')).toHaveValue(`saved-${id}`);
  await expect(page.getByText('You have unsaved changes')).toHaveCount(0);
  await context.close();
});

test('an upload goes on in a tray when its page is left, and closing the tab asks first', async ({ visit, demo }) => {
  const page = await visit('engineer');
  let arrive;
  const gate = new Promise((resolve) => (arrive = resolve));
  await page.route('**/datasets-upload', async (route) => {
    await gate;
    await route.continue();
  });
  await open(page, `/t/${demo.tenant}/datasets-new`);
  const rows = Array.from({ length: 30 }, (_, i) => JSON.stringify({ messages: [{ role: 'user', content: `Question ${i}?` }, { role: 'assistant', content: `Answer ${i}.` }] })).join('\n');
  await page.getByLabel('Dataset', { exact: true }).fill(`tray-${id}`);
  await page.getByLabel('JSON or JSONL').setInputFiles({ name: 'tray.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(rows) });
  await page.getByRole('button', { name: 'Upload and check' }).click();
  const tray = page.getByRole('complementary', { name: 'Uploads' });
  await expect(tray, 'its own page shows it').toBeHidden();
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Runs' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Runs');
  await expect(tray).toContainText('tray.jsonl');
  const asked = page.waitForEvent('dialog');
  const leaving = page.goto('/login').catch(() => 'stayed');
  const dialog = await asked;
  expect(dialog.type()).toBe('beforeunload');
  await dialog.dismiss();
  expect(await leaving).toBe('stayed');
  arrive();
  await tray.getByRole('link', { name: 'Open the dataset' }).click({ timeout: 60_000 });
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`tray-${id}`);
  await expect(tray).toBeHidden();
});
