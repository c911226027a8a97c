// Moving about while things change: clicks are never lost, focus stays where it is, pages that were left do no harm.
import { change } from './change.js';
import { expect, open, test } from './visitor.js';

test('a click on a tab changes the picture at once, also while the page looks again', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/datasets/${demo.dataset}`);
  const tabs = page.getByRole('navigation', { name: 'Dataset' });
  for (let round = 0; round < 12; round++) {
    const label = round % 2 ? 'Report' : 'Rows';
    // The page looks again some 400 to 600 ms after a change: the later clicks fall into that.
    if (round >= 6) await change(page, demo, `tab-${round}`);
    if (round >= 6) await page.waitForTimeout(430 + 30 * (round - 6));
    await tabs.getByRole('link', { name: new RegExp(`^${label}`) }).click();
    await expect(tabs.locator('[aria-current]'), `click ${round}`).toHaveText(new RegExp(`^${label}`), { timeout: 2_000 });
  }
  page.watch.quiet();
});

test('what has the focus keeps it when the page looks again', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/endpoints/${demo.endpoint}`);
  const button = page.getByRole('button', { name: /^Detach/ }).first();
  await button.focus();
  const asked = page.waitForResponse((r) => r.url().endsWith('/rpc/endpoints/get'));
  await change(page, demo, 'focus');
  await asked;
  await page.waitForTimeout(300);
  await expect(button).toBeFocused();
  page.watch.quiet();
});

test('a hurried walk through all pages ends where the last click led', async ({ visit, demo }) => {
  const page = await visit('owner');
  await open(page, `/t/${demo.tenant}`);
  const rail = page.getByRole('navigation', { name: 'Main' }).getByRole('link');
  const names = (await rail.allInnerTexts()).map((text) => text.split('\n')[0]);
  for (const pause of [0, 60]) {
    for (const name of names) {
      await rail.filter({ hasText: name }).first().click();
      await page.waitForTimeout(pause);
    }
    await change(page, demo, `walk-${pause}`);
  }
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(/audit/i);
  page.watch.quiet();
});
