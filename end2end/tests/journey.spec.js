// The main job, whole, as one person does it in the browser, on the real trainer and the real model server.
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { facts, world } from '../summary.mjs';
import { strip, upload } from './forms.js';
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);
const NAMES = { broken: `broken-${id}`, data: `data-${id}`, run: `run-${id}`, model: `model-${id}` };

test('the main job from the file to the audit record', async ({ visit, demo }) => {
  test.setTimeout(900_000);
  const t = `/t/${demo.tenant}`;
  const page = await visit('engineer');

  await test.step('a file with faults: every faulty row is left out, with rule and line', async () => {
    await upload(page, t, NAMES.broken, world('datasets/broken-rows.jsonl'), demo.base_model);
    // Without a reload: what the inspection finds is heard.
    await expect(page.getByText('13 rows left out')).toBeVisible();
    const report = page.getByRole('region', { name: 'Report' });
    await expect(report.getByText('DS-JSON', { exact: true })).toBeVisible();
    await report.getByRole('article').filter({ hasText: 'DS-JSON' }).getByRole('link').first().click();
    await expect(page.locator('#line-2')).toContainText('DS-JSON');
    await expect(page.locator('#line-1')).toHaveCount(0);
  });

  await test.step('a good file: judged, counted, documented', async () => {
    await upload(page, t, NAMES.data, world('datasets/lumenta-facts.jsonl'), demo.base_model);
    await expect(page.getByText('no rows rejected')).toBeVisible();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(NAMES.data);
    await expect(page.locator('dl.facts').getByText('complete')).toBeVisible();
    await page.getByRole('navigation', { name: 'Dataset' }).getByRole('link', { name: /^Rows/ }).click();
    await expect(page.getByText(/held out,\s\d+\stok/).first()).toBeVisible();
    await expect(strip(page, 'Dataset')).toContainText(NAMES.data);
  });

  await test.step('a run: what is wrong is said while typing, what is right starts', async () => {
    await page.getByRole('link', { name: 'New run with this' }).click();
    await page.getByRole('link', { name: /LoRA for tiny models/ }).click();
    await expect(page).toHaveURL(/preset=tiny-lora/);
    await expect(page.getByLabel('LoRA rank')).toHaveValue('32');
    await expect(page.getByLabel('Dataset', { exact: true })).toHaveValue(`${NAMES.data}@1`);
    await page.getByLabel('Name of the run').fill(NAMES.run);
    await page.getByLabel('Becomes a version of').fill(NAMES.model);
    await page.getByLabel('Epochs').fill('2');
    await page.getByLabel('Learning rate').fill('7');
    await expect(page.getByRole('button', { name: 'Start run' })).toHaveAttribute('aria-disabled', 'true');
    await page.getByLabel('Learning rate').fill('0.003');
    await expect(page.getByRole('region', { name: 'The run as YAML' })).toContainText('num_train_epochs: 2');
    const start = page.getByRole('button', { name: 'Start run' });
    await expect(start).not.toHaveAttribute('aria-disabled', 'true');
    await start.click();
    await page.waitForURL(/\/runs\/run_/);
  });
  const runUrl = new URL(page.url()).pathname;

  await test.step('it is watched live; a reload loses nothing', async () => {
    const plan = page.getByRole('region', { name: 'Plan' });
    await expect(plan.getByRole('listitem')).toHaveCount(4);
    const loss = page.getByRole('region', { name: 'Loss' }).getByRole('figure').first();
    // Without a reload: the curve appears by itself.
    await expect(loss).toBeVisible({ timeout: 300_000 });
    const seen = await loss.locator('figcaption').innerText();
    expect(seen).toMatch(/step\s+\d+/);
    await page.reload();
    await expect(loss.locator('figcaption')).toContainText(/step\s+\d+/);
    await expect(page.locator('header.head .chip')).toHaveText('Succeeded', { timeout: 400_000 });
    await expect(plan.getByText(/of\s\d+\sright/)).toBeVisible();
  });

  await test.step('the model has a card made from evidence', async () => {
    await page.getByRole('link', { name: `${NAMES.model} v1` }).first().click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(NAMES.model);
    await expect(page.getByRole('heading', { name: 'Did it help?' })).toBeVisible();
    await expect(page.getByRole('region', { name: /^Card/ })).toContainText(NAMES.data);
    await expect(strip(page, 'Run')).toContainText(NAMES.run);
    const markdown = await page.request.get(`${t}/models/${NAMES.model}/card.md?v=1`);
    expect(await markdown.text()).toMatch(/^---\n[\s\S]*base_model/);
  });

  let deployed;
  await test.step('it is deployed onto the endpoint that runs, without a restart', async () => {
    await page.getByRole('link', { name: 'Deploy', exact: true }).click();
    await page.getByLabel('Endpoint', { exact: true }).selectOption(demo.endpoint);
    deployed = Date.now();
    await page.getByRole('button', { name: 'Deploy', exact: true }).click();
    await page.waitForURL(new RegExp(`/endpoints/${demo.endpoint}`));
    await expect(page.getByRole('row').filter({ hasText: NAMES.model })).toContainText('Ready', { timeout: 60_000 });
    const client = new OpenAI({ baseURL: `${demo.address}/v1`, apiKey: demo.api_key, maxRetries: 0 });
    await expect(async () => {
      await client.chat.completions.create({ model: NAMES.model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 });
    }).toPass({ timeout: 10_000, intervals: [50] });
    console.log(`first answer ${Date.now() - deployed} ms after “deploy”`);
    await expect(strip(page, 'Endpoint')).toContainText(demo.endpoint);
  });

  await test.step('one chats with it, and compares it with its base; the conversation stays', async () => {
    const [{ question }] = facts();
    await open(page, `${t}/playground?model=${demo.tuned_model}&mode=compare`);
    const compared = [page.getByRole('region', { name: `A: ${demo.base_model}` }), page.getByRole('region', { name: `B: ${demo.tuned_model}` })];
    await page.getByRole('textbox', { name: 'Message to both models' }).fill(question);
    await page.getByRole('button', { name: /^Send/ }).click();
    for (const pane of compared) await expect(pane.getByText(/\d+\stokens?/).first()).toBeVisible({ timeout: 30_000 });
    await expect(page).toHaveURL(/\/playground\/chat_/);
    const said = await Promise.all(compared.map((pane) => pane.getByRole('article').nth(1).innerText()));
    expect(said[0]).not.toEqual(said[1]);
    await page.reload();
    for (const pane of compared) await expect(pane.getByText(question)).toBeVisible();
  });

  let secret;
  await test.step('a key is made, shown once, and works', async () => {
    await open(page, `${t}/keys-new`);
    await page.getByLabel('Name').fill(NAMES.run);
    await page.getByRole('button', { name: 'Create key' }).click();
    await expect(page.getByRole('heading', { level: 1 })).toContainText('is ready');
    secret = await page.getByText(/^atl_[\w-]{50,}$/).first().innerText();
    await page.getByRole('link', { name: 'I have stored it' }).click();
    await expect(page.getByRole('row').filter({ hasText: NAMES.run })).toContainText(secret.slice(0, 8));
    expect(await page.content()).not.toContain(secret);
    const client = new OpenAI({ baseURL: `${demo.address}${t}/v1`, apiKey: secret });
    const answer = await client.chat.completions.create({ model: NAMES.model, messages: [{ role: 'user', content: 'Hello' }], temperature: 0, max_tokens: 20 });
    expect(answer.usage.completion_tokens).toBeGreaterThan(0);
  });

  await test.step('the call is in the usage, by key', async () => {
    await strip(page, 'Usage').getByRole('link').click();
    await expect(async () => {
      await open(page, `${t}/usage?by=key&days=7`);
      await expect(page.getByRole('row').filter({ hasText: NAMES.run }).first()).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 60_000 });
  });

  await test.step('lineage leads both ways', async () => {
    await open(page, runUrl);
    await strip(page, 'Dataset').getByRole('link').click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(NAMES.data);
    await strip(page, 'Model').getByRole('link').click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(NAMES.model);
    await strip(page, 'Endpoint').getByRole('link').click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(demo.endpoint);
    await strip(page, 'Keys').getByRole('link').click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('API keys');
  });

  await test.step('the key is revoked, and refused within a second', async () => {
    await page.getByRole('link', { name: `Revoke ${NAMES.run}` }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click();
    await expect(page.getByRole('row').filter({ hasText: NAMES.run })).toContainText('Revoked');
    await expect(async () => {
      const answer = await page.request.get('/v1/models', { headers: { authorization: `Bearer ${secret}` } });
      expect(answer.status()).toBe(401);
    }).toPass({ timeout: 1_000, intervals: [50] });
  });
  page.watch.quiet();

  await test.step('the owner finds all of it in the audit record, and the chain holds', async () => {
    const owner = await visit('owner');
    for (const [action, object] of [['dataset.write', NAMES.data], ['run.launch', NAMES.run], ['endpoint.write', demo.endpoint], ['key.write', NAMES.run]]) {
      await open(owner, `${t}/audit?action=${action}&object=${object}`);
      await expect(owner.getByRole('row').filter({ hasText: action }).filter({ hasText: object }).first(), `${action} of ${object}`).toBeVisible();
    }
    await owner.getByRole('link', { name: 'Verify the chain' }).click();
    await expect(owner.getByRole('status').filter({ hasText: 'Verified' })).toBeVisible();
    expect(await owner.content()).not.toContain(secret);
    owner.watch.quiet();
  });
});

test('the run file of the demo is what the form makes of it', async ({ visit, demo }) => {
  const settings = JSON.parse(readFileSync(world('runs/facts-lora.json'), 'utf8'));
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?from=${demo.run}`);
  for (const key of ['lora_rank', 'num_train_epochs', 'per_device_train_batch_size', 'cutoff_len']) {
    await expect(page.locator(`#${key}`), key).toHaveValue(String(settings[key]));
  }
  page.watch.quiet();
});
