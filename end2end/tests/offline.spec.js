// A server that cannot be reached for a while takes nothing away from the page.
import { change } from './change.js';
import { expect, open, test } from './visitor.js';

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
