// A server that cannot be reached for a while takes nothing away from the page.
import { change } from './change.js';
import { expect, open, test } from './visitor.js';
import { wire } from './wire.js';

for (const [name, path, shows] of [
  ['a run', ({ tenant, run }) => `/t/${tenant}/runs/${run}`, (page) => page.getByRole('heading', { name: 'Plan' })],
  ['home', ({ tenant }) => `/t/${tenant}`, (page) => page.getByRole('heading', { name: 'Endpoints' })],
  ['the keys', ({ tenant }) => `/t/${tenant}/keys`, (page) => page.getByRole('table')],
]) {
  test(`${name} stays while the server cannot be reached, says so, and catches up`, async ({ visit, demo }) => {
    const page = await visit('engineer');
    const other = await visit('owner');
    page.watch.expecting(/ERR_INTERNET_DISCONNECTED|ERR_FAILED|ERR_NETWORK/);
    await open(page, path(demo));
    const rail = page.getByRole('navigation', { name: 'Main' });
    const keys = () => rail.getByRole('link', { name: 'API keys' }).locator('.n').innerText();
    // Other tests make and revoke keys of this tenant at the same time: what the page must catch up with is what the server says now.
    const served = async () => {
      const answer = await other.request.post('/rpc/frame', { form: { tenant: demo.tenant }, headers: { origin: demo.address, accept: 'application/json' } });
      return String((await answer.json()).tenant.counts.keys);
    };
    // Events come through, answers do not: the worst of both.
    let lost = 0;
    await page.route('**/rpc/**', (route) => {
      lost += 1;
      return route.abort('internetdisconnected');
    });
    await change(other, demo, `offline-${name}`);
    await expect.poll(() => lost, { timeout: 30_000 }).toBeGreaterThan(2);
    await expect(page.getByText('Live updates lost, trying again')).toBeVisible();
    await page.waitForTimeout(10_000);
    await expect(shows(page)).toBeVisible();
    await expect(page.getByText('This page could not be loaded')).toHaveCount(0);
    await expect(rail.getByRole('link', { name: 'Runs' })).toBeVisible();
    await page.unroute('**/rpc/**');
    await expect(page.getByText('Live updates lost, trying again')).toHaveCount(0, { timeout: 30_000 });
    await change(other, demo, `online-${name}`);
    await expect.poll(async () => (await keys()) === (await served()), { timeout: 30_000 }).toBe(true);
    page.watch.quiet();
  });
}

test('a page whose wire is cut, event stream and all, keeps what it shows and learns what happened meanwhile', async ({ visit, demo }) => {
  const cable = await wire();
  try {
    const page = await visit('engineer', { proxy: cable.proxy });
    const other = await visit('owner');
    page.watch.expecting(/ERR_/);
    await open(page, `/t/${demo.tenant}/keys`);
    const label = `while cut ${Date.now()}`;
    cable.cut();
    await expect(page.getByText('Live updates lost, trying again')).toBeVisible({ timeout: 30_000 });
    await change(other, demo, label);
    await page.waitForTimeout(10_000);
    await expect(page.getByRole('table')).toBeVisible();
    await expect(page.getByText(label)).toHaveCount(0);
    cable.mend();
    await expect(page.getByText('Live updates lost, trying again')).toHaveCount(0, { timeout: 60_000 });
    // Nothing happens after the mending that would tell the page.
    await expect(page.getByText(label)).toBeVisible({ timeout: 30_000 });
    page.watch.quiet();
  } finally {
    await cable.close();
  }
});
