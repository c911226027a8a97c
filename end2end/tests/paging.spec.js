// A long list, page by page: every row once, with and without scripts, while the address keeps the filter and events arrive.
import { changeSeen } from './change.js';
import { expect, hydrated, open, test } from './visitor.js';

const id = `paged-${Date.now().toString(36)}`;
const ROWS = 120;
const labels = Array.from({ length: ROWS }, (_, n) => `${id} ${String(n).padStart(3, '0')}`);
const list = (demo) => `/t/${demo.tenant}/keys?q=${id}`;
const shown = (page) => page.locator('table.keys tbody th').evaluateAll((cells) => cells.map((cell) => cell.firstChild.textContent));
const pages = (page) => page.getByRole('navigation', { name: 'Pages of keys' });

// What comes after it needs its keys.
test.describe.configure({ mode: 'serial' });

test('a list becomes long', async ({ visit, demo }) => {
  test.setTimeout(300_000);
  const page = await visit('owner');
  const headers = { origin: demo.address, accept: 'application/json' };
  for (const label of labels) {
    const answer = await page.request.post('/rpc/keys/create', { headers, form: { tenant: demo.tenant, 'form[label]': label, 'form[may]': 'all' } });
    expect(answer.ok(), await answer.text()).toBe(true);
  }
});

/** Every row of the list, newest first, page by page. */
async function walked(page, turned) {
  const seen = [];
  for (let n = 1; ; n += 1) {
    const rows = await shown(page);
    seen.push(...rows);
    expect(page.url(), 'the filter stays in the address').toContain(id);
    const older = pages(page).getByRole('link', { name: 'Older' });
    if ((await older.getAttribute('aria-disabled')) === 'true') return { seen, pages: n };
    await older.click();
    await turned(rows[0]);
    expect(n).toBeLessThan(5);
  }
}

for (const javaScriptEnabled of [true, false]) {
  test(`every row of a long list is shown once, ${javaScriptEnabled ? 'with' : 'without'} scripts`, async ({ visit, demo }) => {
    const page = await visit('owner', { javaScriptEnabled });
    await page.goto(list(demo));
    if (javaScriptEnabled) await hydrated(page);
    await expect(pages(page)).toContainText('there are more');
    const turned = (first) => expect(page.locator('table.keys tbody th').first()).not.toHaveText(new RegExp(`^${first}`));
    const walk = await walked(page, turned);
    expect(walk).toEqual({ seen: [...labels].reverse(), pages: 3 });
    await expect(pages(page)).toContainText('these are the last');
    await pages(page).getByRole('link', { name: 'Newest' }).click();
    await expect(page.locator('table.keys tbody th').first()).toContainText(labels.at(-1));
  });
}

test('the first page follows what happens, a later one stays where it is', async ({ visit, demo }) => {
  const page = await visit('owner');
  await open(page, list(demo));
  const first = `${id} first`;
  await changeSeen(page, demo, first);
  await expect(page.locator('table.keys tbody th').first()).toContainText(first);
  await pages(page).getByRole('link', { name: 'Older' }).click();
  await expect(page.locator('table.keys tbody th').first()).not.toContainText(first);
  const rows = await shown(page);
  await changeSeen(page, demo, `${id} second`);
  expect(await shown(page)).toEqual(rows);
});

test('a filter looks through the whole list, and a cursor that means nothing shows its beginning', async ({ visit, demo }) => {
  const page = await visit('owner');
  await open(page, list(demo));
  await page.getByRole('searchbox', { name: 'Filter keys' }).fill(labels[0]);
  await page.getByRole('button', { name: 'Filter' }).click();
  await expect(page.locator('table.keys tbody th')).toHaveCount(1);
  await expect(pages(page)).toHaveCount(0);
  await open(page, `${list(demo)}&after=nonsense`);
  expect((await shown(page)).length).toBe(50);
});

test('a searched choice asks once nothing is typed for a moment, and for the last text', async ({ visit, demo }) => {
  test.setTimeout(300_000);
  const page = await visit('engineer');
  const headers = { origin: demo.address, accept: 'application/json' };
  const row = JSON.stringify({ messages: [{ role: 'user', content: 'Where?' }, { role: 'assistant', content: 'Here.' }] });
  const names = Array.from({ length: 51 }, (_, n) => `${id}-data-${String(n).padStart(2, '0')}`);
  for (const name of names) {
    const file = { name: 'rows.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(row) };
    const sent = await page.request.post(`/t/${demo.tenant}/datasets-upload`, { headers, multipart: { name, held_out_percent: '0', tokenizer: '', file } });
    expect(sent.ok(), await sent.text()).toBe(true);
  }
  // Offered are the newest: the first of them is not, when all are judged.
  const search = page.getByRole('searchbox', { name: /^Dataset: / });
  const offered = page.getByLabel('Dataset', { exact: true }).locator('option');
  await expect(async () => {
    await open(page, `/t/${demo.tenant}/runs-new`);
    await expect(search).toBeVisible({ timeout: 1_000 });
    await expect(offered.filter({ hasText: `${names[50]} v1` })).toHaveCount(1, { timeout: 1_000 });
  }).toPass({ timeout: 120_000 });
  const asked = [];
  page.on('request', (request) => {
    if (request.url().includes('/rpc/runs/choices')) asked.push(new URLSearchParams(request.postData()).get('text'));
  });
  await search.pressSequentially(names[0], { delay: 40 });
  await expect(offered.filter({ hasText: `${names[0]} v1` })).toHaveCount(1);
  expect(asked).toEqual([names[0]]);
  // Emptied, it offers what it offered first, and asks nobody.
  await search.fill('');
  await expect(offered.filter({ hasText: `${names[50]} v1` })).toHaveCount(1);
  expect(asked).toEqual([names[0]]);
  page.watch.quiet();
});
