// The program comes in parts: what a page needs first, the rest when there is time, and a part that does not come ends nothing.
import { expect, hydrated, open, test } from './visitor.js';

/** The part with keys, usage, members and audit. */
const MANAGE = /\/pkg\/split_manage\.[0-9a-f]+\.wasm$/;

test('a page asks for its own part of the program at once, and for the others when it can be used', async ({ visit, demo }) => {
  const page = await visit('engineer');
  const asked = [];
  page.on('request', (request) => asked.push([new URL(request.url()).pathname, Date.now()]));
  const { link } = (await page.goto(`/t/${demo.tenant}`)).headers();
  expect(link).toMatch(/<\/pkg\/split_start\.[0-9a-f]+\.wasm>; rel=preload/);
  expect(link).not.toMatch(/split_manage/);
  await hydrated(page);
  const usable = Date.now();
  await expect.poll(() => asked.some(([path]) => MANAGE.test(path)), { timeout: 60_000 }).toBe(true);
  expect(asked.find(([path]) => MANAGE.test(path))[1]).toBeGreaterThan(usable);
  // From then on no page needs the server's files.
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'API keys' }).click();
  await expect(page.getByRole('heading', { name: 'API keys', level: 1 })).toBeVisible();
  expect(await page.evaluate(() => performance.getEntriesByType('navigation').length)).toBe(1);
  page.watch.quiet();
});

test('a part of the program that is gone, as after an update, makes the next page come whole', async ({ visit, demo }) => {
  const page = await visit('engineer');
  page.watch.expecting(/split_manage|Failed to fetch|404|TypeError/);
  await page.route(MANAGE, (route) => route.fulfill({ status: 404, body: 'There is no such file.' }));
  await open(page, `/t/${demo.tenant}`);
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'API keys' }).click();
  await expect(page.getByRole('heading', { name: 'API keys', level: 1 })).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`/t/${demo.tenant}/keys$`));
  // The page is the server's, without the program; links lead on as they do without scripts.
  await expect(page.locator('body[data-hydrated]')).toHaveCount(0);
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Datasets' }).click();
  await expect(page.getByRole('heading', { name: 'Datasets', level: 1 })).toBeVisible();
  await hydrated(page);
  page.watch.quiet();
});

test('a part of the program that cannot be fetched offline is told, and can be asked for again', async ({ visit, demo }) => {
  const page = await visit('engineer');
  page.watch.expecting(/split_manage|Failed to fetch|TypeError|ERR_/);
  await page.route(MANAGE, (route) => route.abort('internetdisconnected'));
  await open(page, `/t/${demo.tenant}`);
  await page.context().setOffline(true);
  try {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'API keys' }).click();
    await expect(page.getByRole('alert').getByText('A part of this page did not arrive')).toBeVisible();
    await expect(page.getByRole('link', { name: 'Try again' })).toHaveAttribute('href', `/t/${demo.tenant}/keys`);
  } finally {
    await page.context().setOffline(false);
  }
  await page.unroute(MANAGE);
  await page.getByRole('link', { name: 'Try again' }).click();
  await hydrated(page);
  await expect(page.getByRole('heading', { name: 'API keys', level: 1 })).toBeVisible();
  page.watch.quiet();
});
