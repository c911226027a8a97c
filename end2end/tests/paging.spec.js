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
