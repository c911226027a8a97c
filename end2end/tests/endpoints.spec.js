// Endpoints that are taken away: asked once, gone from the list and from the gateway, and kept in the audit record.
import { createServer } from 'node:http';
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);
const chip = (page) => page.locator('header.head .chip');

/** A model server that somebody else runs, on this machine. */
async function server(model) {
  const answers = {
    '/v1/models': { object: 'list', data: [{ id: model, max_model_len: 4096 }] },
    '/v1/chat/completions': {
      id: 'c-1', object: 'chat.completion', created: 1, model, usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
      choices: [{ index: 0, message: { role: 'assistant', content: 'Here.' }, finish_reason: 'stop' }],
    },
  };
  const listening = createServer((request, response) => {
    request.resume();
    const body = answers[request.url];
    response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
  });
  await new Promise((ready) => listening.listen(0, '127.0.0.1', ready));
  return listening;
}

/** What the gateway answers to a call of this model. */
async function called(demo, model) {
  const answer = await fetch(`${demo.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${demo.api_key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Where?' }] }),
  });
  return answer.status;
}

/** Asks for it, keeps it once, and then removes it. */
async function remove(page, name, says) {
  const question = page.getByRole('alertdialog', { name: `Remove ${name}?` });
  await page.getByRole('link', { name: 'Remove', exact: true }).click();
  await expect(question).toContainText(says);
  await question.getByRole('link', { name: 'Cancel' }).click();
  await expect(question).toHaveCount(0);
  await page.getByRole('link', { name: 'Remove', exact: true }).click();
  // On a busy machine the event of the removal comes before the browser has left the page, which then asks for what is gone.
  page.watch.expecting(/404.*rpc\/(endpoints\/get|chain)/);
  await question.getByRole('button', { name: 'Remove the endpoint' }).click();
  await expect(page).toHaveURL(/\/endpoints$/);
  await expect(page.getByRole('link', { name, exact: true })).toHaveCount(0);
}

/** That it was removed, and by whom, is in the audit record. */
async function recorded(visit, demo, name, by) {
  const page = await visit('owner');
  await open(page, `/t/${demo.tenant}/audit`);
  const row = page.getByRole('row').filter({ hasText: name }).filter({ hasText: 'remove' });
  await expect(row).toHaveCount(1);
  await expect(row).toContainText(by);
  page.watch.quiet();
}

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with scripts' : 'without scripts';
  const go = (page, path) => (javaScriptEnabled ? open(page, path) : page.goto(path));
  /** A page without scripts does not change by itself. */
  const until = (page, seen) => expect(async () => {
    if (!javaScriptEnabled) await page.reload();
    await seen();
  }).toPass({ timeout: 120_000 });

  test(`an endpoint at somebody else’s server is removed, ${how}`, async ({ visit, demo }) => {
    const [name, there] = [`theirs-${javaScriptEnabled ? 's' : 'p'}-${id}`, 'their-7b'];
    const listening = await server(there);
    try {
      const page = await visit('owner', { javaScriptEnabled });
      await go(page, `/t/${demo.tenant}/endpoints-external`);
      await page.getByLabel('Name').fill(name);
      await page.getByLabel('Address').fill(`http://127.0.0.1:${listening.address().port}/v1`);
      await page.getByRole('button', { name: 'Add server' }).click();
      await until(page, () => expect(chip(page)).toHaveText('Ready', { timeout: 5_000 }));
      await page.getByLabel(`Name of ${there} in this portal`).fill(name);
      await page.getByRole('button', { name: 'Offer', exact: true }).click();
      await expect(page.getByRole('row').filter({ hasText: there })).toContainText('Offered');
      await expect.poll(() => called(demo, name), { timeout: 60_000 }).toBe(200);
      // Counted by model, on its page too.
      await until(page, () => expect(page.getByRole('row').filter({ hasText: there }).locator('[data-label=requests]')).toHaveText(/^[1-9]/, { timeout: 5_000 }));
      await remove(page, name, `Calls to ${name} fail from now on.`);
      await expect.poll(() => called(demo, name), { timeout: 60_000 }).toBe(404);
      // Without scripts the browser says of each that it was blocked, and of the program that nobody used it.
      if (javaScriptEnabled) page.watch.quiet();
      await recorded(visit, demo, name, 'Mira Castro');
    } finally {
      listening.closeAllConnections();
      listening.close();
    }
  });
}

test('an endpoint of ours is stopped first, and then removed', async ({ visit, demo }) => {
  test.setTimeout(400_000);
  const name = `ours-${id}`;
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/endpoints-new`);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Create and start' }).click();
  await expect(page).toHaveURL(new RegExp(`/endpoints/${name}`));
  await expect(page.getByRole('link', { name: 'Remove', exact: true })).toHaveCount(0);
  await page.getByRole('link', { name: 'Stop', exact: true }).click();
  await page.getByRole('button', { name: 'Stop the endpoint' }).click();
  await expect(chip(page)).toHaveText('Stopped', { timeout: 120_000 });
  await remove(page, name, 'Its usage and its audit records stay');
  page.watch.expecting(/answer 404/);
  const gone = await page.goto(`/t/${demo.tenant}/endpoints/${name}`);
  expect(gone.status()).toBe(404);
  await recorded(visit, demo, name, 'Jonas Lind');
});
