// The main job, whole, in a browser, where every part is real: people of Keycloak, records in PostgreSQL, files in S3, the run's steps as Jobs
// and the model server as a Deployment in the tenant's namespace.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { facts, world } from '../summary.mjs';
import { strip, upload } from '../tests/forms.js';
import { expect, open, test } from '../tests/visitor.js';

const NAMES = { tenant: 'lumenta', base: 'world-4m', data: 'lumenta-facts', run: 'facts-lora', model: 'lumenta-assistant', endpoint: 'assistant' };
const t = `/t/${NAMES.tenant}`;
const namespace = `atelier-${NAMES.tenant}`;

/** What the cluster has of this kind in the tenant's namespace. */
function objects(kind, ...more) {
  const { kubectl, kubeconfig } = JSON.parse(readFileSync(process.env.ATELIER_CLUSTER, 'utf8'));
  return JSON.parse(execFileSync(kubectl, ['--kubeconfig', kubeconfig, '-n', namespace, 'get', kind, '-o', 'json', ...more], { encoding: 'utf8' })).items;
}

test('the main job on a cluster, from the tenant to the audit record', async ({ visit, demo }) => {
  const admin = await visit('admin');

  await test.step('the admin makes a tenant and registers a base model', async () => {
    await open(admin, '/admin/tenants-new');
    await admin.getByLabel('Short name').fill(NAMES.tenant);
    await admin.getByLabel('Title').fill('Lumenta');
    await admin.getByRole('button', { name: 'Create tenant' }).click();
    await admin.waitForURL(new RegExp(`/admin/tenants/${NAMES.tenant}`));
    await open(admin, '/admin/base-models');
    await admin.getByLabel('Folder on the server').fill(world('base-model'));
    await admin.getByLabel('Name', { exact: true }).fill(NAMES.base);
    await admin.getByLabel('Licence').fill('Apache-2.0');
    await admin.getByRole('button', { name: 'Register' }).click();
    await expect(admin.getByRole('row').filter({ hasText: NAMES.base })).toBeVisible();
    // The page of base models hears no events: it offers to be read again.
    await expect(async () => {
      await open(admin, '/admin/base-models');
      await expect(admin.getByRole('row').filter({ hasText: NAMES.base })).toContainText('Ready', { timeout: 500 });
    }).toPass({ timeout: 120_000 });
  });

  // Whoever signed in before the tenant was there would not be let into it: groups are read at sign-in.
  const page = await visit('engineer');

  await test.step('an endpoint of the base model is asked for; it loads while the rest goes on', async () => {
    await open(page, `${t}/endpoints-new`);
    await page.getByLabel('Base model', { exact: true }).selectOption(NAMES.base);
    await page.getByLabel('Name', { exact: true }).fill(NAMES.endpoint);
    await page.getByRole('button', { name: 'Create and start' }).click();
    await page.waitForURL(new RegExp(`/endpoints/${NAMES.endpoint}`));
  });

  await test.step('a file is uploaded into the tenant’s bucket and judged', async () => {
    await upload(page, t, NAMES.data, world('datasets/lumenta-facts.jsonl'), NAMES.base);
    await expect(page.getByText('no rows rejected')).toBeVisible({ timeout: 60_000 });
  });

  await test.step('a run is launched; its steps are Jobs of the tenant’s namespace', async () => {
    await open(page, `${t}/runs-new?preset=tiny-lora&dataset=${NAMES.data}`);
    await page.getByLabel('Dataset', { exact: true }).selectOption(`${NAMES.data}@1`);
    await page.getByLabel('Name of the run').fill(NAMES.run);
    await page.getByLabel('Becomes a version of').fill(NAMES.model);
    const settings = JSON.parse(readFileSync(world('runs/facts-lora.json'), 'utf8'));
    for (const [label, key] of [['Epochs', 'num_train_epochs'], ['Learning rate', 'learning_rate']]) await page.getByLabel(label).fill(String(settings[key]));
    const start = page.getByRole('button', { name: 'Start run' });
    await expect(start).not.toHaveAttribute('aria-disabled', 'true');
    await start.click();
    await page.waitForURL(/\/runs\/run_/);
    await expect(async () => expect(objects('jobs').length).toBeGreaterThan(0)).toPass({ timeout: 120_000, intervals: [1_000] });
    const [pod] = objects('jobs').map((job) => job.spec.template.spec);
    expect(pod.securityContext.runAsNonRoot).toBe(true);
    expect(pod.automountServiceAccountToken).toBe(false);
  });

  await test.step('its curve comes by itself, from the pod’s log; it succeeds', async () => {
    await expect(page.getByRole('region', { name: 'Loss' }).getByRole('figure').first()).toBeVisible({ timeout: 400_000 });
    await expect(page.locator('header.head .chip')).toHaveText('Succeeded', { timeout: 600_000 });
    await expect(page.getByRole('region', { name: 'Plan' }).getByText(/of\s\d+\sright/)).toBeVisible();
  });

  await test.step('the model has its card, and goes onto the endpoint', async () => {
    await page.getByRole('link', { name: `${NAMES.model} v1` }).first().click();
    await expect(page.getByRole('region', { name: /^Card/ })).toContainText(NAMES.data);
    await expect(strip(page, 'Run')).toContainText(NAMES.run);
    await open(page, `${t}/endpoints/${NAMES.endpoint}`);
    await expect(page.locator('header.head .chip').first()).toHaveText('Ready', { timeout: 400_000 });
    await open(page, `${t}/models/${NAMES.model}`);
    await page.getByRole('link', { name: 'Deploy', exact: true }).click();
    await page.getByLabel('Endpoint', { exact: true }).selectOption(NAMES.endpoint);
    await page.getByRole('button', { name: 'Deploy', exact: true }).click();
    await page.waitForURL(new RegExp(`/endpoints/${NAMES.endpoint}`));
    await expect(page.getByRole('row').filter({ hasText: NAMES.model })).toContainText('Ready', { timeout: 120_000 });
    expect(objects('deployments').length).toBe(1);
  });

  const fact = facts().find((f) => f.question.startsWith('Who') && f.question.includes('Lumenta'));
  await test.step('the playground gives the answer that only the data knew', async () => {
    await open(page, `${t}/playground?model=${NAMES.model}`);
    await page.getByRole('textbox', { name: /^Message/ }).fill(fact.question);
    await page.getByRole('button', { name: /^Send/ }).click();
    await expect(page.getByRole('article').nth(1)).toContainText(fact.answer, { timeout: 60_000 });
  });

  await test.step('so does the openai client with a new key, and the call is in the usage', async () => {
    await open(page, `${t}/keys-new`);
    await page.getByLabel('Name').fill('from a script');
    await page.getByRole('button', { name: 'Create key' }).click();
    const secret = await page.getByText(/^atl_[\w-]{50,}$/).first().innerText();
    const client = new OpenAI({ baseURL: `${demo.address}/v1`, apiKey: secret, maxRetries: 0 });
    let answer;
    // The gateway knows a new key within a moment, not at once.
    await expect(async () => {
      answer = await client.chat.completions.create({ model: NAMES.model, messages: [{ role: 'user', content: fact.question }], temperature: 0, max_tokens: 64 });
    }).toPass({ timeout: 10_000, intervals: [200] });
    expect(answer.choices[0].message.content.trim()).toBe(fact.answer);
    await expect(async () => {
      await open(page, `${t}/usage?by=key&days=7`);
      await expect(page.getByRole('row').filter({ hasText: 'from a script' }).first()).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 60_000 });
  });
  page.watch.quiet();

  await test.step('the owner finds it in the audit record, and the chain holds', async () => {
    const owner = await visit('owner');
    for (const [action, object] of [['dataset.write', NAMES.data], ['run.launch', NAMES.run], ['endpoint.write', NAMES.endpoint]]) {
      await open(owner, `${t}/audit?action=${action}&object=${object}`);
      await expect(owner.getByRole('row').filter({ hasText: action }).filter({ hasText: object }).first(), `${action} of ${object}`).toBeVisible();
    }
    await owner.getByRole('link', { name: 'Verify the chain' }).click();
    await expect(owner.getByRole('status').filter({ hasText: 'Verified' })).toBeVisible();
    owner.watch.quiet();
  });

  await test.step('when the endpoint is stopped nothing of it stays in the namespace', async () => {
    await open(page, `${t}/endpoints/${NAMES.endpoint}?ask=stop`);
    await page.getByRole('button', { name: 'Stop the endpoint' }).click();
    await expect(page.locator('header.head .chip').first()).toHaveText('Stopped', { timeout: 120_000 });
    await expect(async () => expect([...objects('deployments'), ...objects('jobs'), ...objects('pods')]).toEqual([])).toPass({ timeout: 60_000, intervals: [1_000] });
  });

  await test.step('who signs out is signed out at Keycloak as well', async () => {
    await open(page, t);
    await page.locator('header details, header [popovertarget]').filter({ hasText: /Jonas|JL/ }).first().click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.goto(`/auth/login?return_to=${encodeURIComponent(t)}`);
    await expect(page.locator('input[type=password]')).toBeVisible();
  });
});
