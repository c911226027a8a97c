// Words of 300 letters, from people and from files, break; the page does not become wider than its window.
import { expect, hydrated, test } from './visitor.js';

const id = Date.now().toString(36);
const WORD = 'x'.repeat(300);

test('300 unbroken characters widen no page', async ({ visit, demo }) => {
  test.setTimeout(300_000);
  const page = await visit('engineer');
  const headers = { origin: demo.address, accept: 'application/json' };
  const name = `wide-${id}`;
  const rows = Array.from({ length: 12 }, (_, i) => JSON.stringify({ messages: [{ role: 'user', content: `${WORD}${i}` }, { role: 'assistant', content: WORD }] })).join('\n');
  const sent = await page.request.post(`/t/${demo.tenant}/datasets-upload`, {
    headers,
    multipart: { name, held_out_percent: '10', tokenizer: '', source: WORD, licence: WORD, languages: 'en', notes: WORD, file: { name: `${WORD}.jsonl`, mimeType: 'application/jsonl', buffer: Buffer.from(rows) } },
  });
  expect(sent.ok(), await sent.text()).toBe(true);
  const { href } = await sent.json();
  await page.request.post('/rpc/keys/create', { headers, form: { tenant: demo.tenant, 'form[label]': 'y'.repeat(60), 'form[may]': 'all' } });
  await page.goto(href);
  await expect(page.locator('header.head .chip')).not.toHaveText(/Checking|Uploading/, { timeout: 120_000 });
  const t = `/t/${demo.tenant}`;
  for (const path of [href, `${href}&tab=rows`, `${href}&tab=rows&view=raw`, `${href}&tab=card`, `${href}&tab=versions`, `${t}/datasets`, `${t}/keys`, `${t}/runs-new?dataset=${name}`, `${t}/playground`, `${t}/lineage`]) {
    // The side panel of the playground is folded away on a phone.
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(path);
    await hydrated(page);
    if (path.endsWith('/playground')) {
      await page.getByRole('textbox', { name: 'Message' }).fill(WORD);
      await page.getByLabel('System prompt').fill(WORD);
      await page.getByRole('button', { name: /^Send/ }).click();
      await expect(page.getByText(WORD).first()).toBeVisible();
    }
    for (const width of [1440, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wide, `${path} at ${width} px`).toBeLessThanOrEqual(0);
    }
  }
});
