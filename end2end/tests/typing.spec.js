// A page that holds somebody's typing is never drawn again under it: whatever happens in the tenant changes only what it concerns.
import { changeSeen } from './change.js';
import { expect, open, test } from './visitor.js';

const forms = ({ tenant, dataset, tuned_model: model, endpoint, run }) => {
  const t = `/t/${tenant}`;
  return {
    'the playground': `${t}/playground`,
    'a new run': `${t}/runs-new`,
    'a new dataset': `${t}/datasets-new`,
    'a new endpoint': `${t}/endpoints-new`,
    'a new key': `${t}/keys-new`,
    'the documentation of a dataset': `${t}/datasets/${dataset}?tab=card`,
    'a card': `${t}/models/${model}/card/edit?v=1`,
    'the log in a run': `${t}/runs/${run}`,
    'the whole log of a run': `${t}/runs/${run}?tab=log`,
    'the list of runs': `${t}/runs`,
    'the list of datasets': `${t}/datasets`,
    'the list of models': `${t}/models`,
    'the list of keys': `${t}/keys`,
    'deploying a model': `${t}/models/${model}?tab=endpoints`,
    'an endpoint': `${t}/endpoints/${endpoint}`,
  };
};

for (const name of Object.keys(forms({}))) {
  test(`typing survives what happens meanwhile: ${name}`, async ({ visit, demo }) => {
    const page = await visit('engineer');
    await open(page, forms(demo)[name]);
    const fields = await page.locator('main :is(textarea, input:is([type=text], [type=search], :not([type])), select):visible').elementHandles();
    expect(fields.length, 'fields').toBeGreaterThan(0);
    const typed = [];
    for (const [i, field] of fields.entries()) {
      if (await field.evaluate((f) => f.tagName === 'SELECT')) {
        const last = await field.evaluate((f) => [...f.options].filter((o) => !o.disabled).at(-1)?.value ?? '');
        await field.selectOption(last);
        typed.push(last);
      } else {
        await field.fill(`typed-${i}`);
        typed.push(`typed-${i}`);
      }
    }
    // What is chosen may fill another field (a dataset names the run): what counts is what stands there now.
    const before = await Promise.all(fields.map((f) => f.evaluate((e) => e.value)));
    await fields.at(-1).focus();
    for (const round of [1, 2]) {
      await changeSeen(page, demo, `typing-${round}`);
      for (const [i, field] of fields.entries()) {
        const now = await field.evaluate((f) => ({ there: f.isConnected, value: f.value, label: f.labels?.[0]?.innerText ?? f.name }));
        expect(now, `round ${round}, field ${i}, “${typed[i]}”`).toMatchObject({ there: true, value: before[i] });
      }
      expect(await fields.at(-1).evaluate((f) => document.activeElement === f), 'the focus').toBe(true);
    }
    page.watch.quiet();
  });
}

test('documentation that is being typed stays while somebody else saves theirs', async ({ visit, demo }) => {
  const page = await visit('engineer');
  const other = await visit('owner');
  await open(page, forms(demo)['the documentation of a dataset']);
  const number = await page.locator('#documentation input[name=number]').inputValue();
  const fields = { source: 'typed', licence: 'typed', languages: 'pl', legal_basis: 'typed', notes: 'typed' };
  for (const [id, text] of Object.entries(fields)) await page.locator(`#${id}`).fill(text);
  await page.locator('#personal_data').selectOption('pseudonymised');
  const said = { source: 'theirs', licence: 'MIT', languages: 'de', legal_basis: 'theirs', notes: 'theirs', personal_data: 'none' };
  const form = { tenant: demo.tenant, name: demo.dataset, number, ...Object.fromEntries(Object.entries(said).map(([k, v]) => [`said[${k}]`, v])) };
  const saved = await other.request.post('/rpc/datasets/document', { form, headers: { origin: demo.address, accept: 'application/json' } });
  expect(saved.ok(), await saved.text()).toBe(true);
  await changeSeen(page, demo, 'after-theirs');
  for (const [id, text] of Object.entries(fields)) await expect(page.locator(`#${id}`)).toHaveValue(text);
  await expect(page.locator('#personal_data')).toHaveValue('pseudonymised');
  page.watch.quiet();
});

test('the log’s search and the open table survive a run that goes on', async ({ visit, demo }) => {
  test.setTimeout(600_000);
  const page = await visit('engineer');
  const headers = { origin: demo.address, accept: 'application/json' };
  const draft = await page.request.post('/rpc/runs/draft', { headers, form: { tenant: demo.tenant, from: demo.run, preset: '', dataset: '' } });
  const { form } = await draft.json();
  const name = `typed-${Date.now().toString(36)}`;
  const fields = Object.fromEntries(Object.entries({ ...form, name, model_name: name }).map(([k, v]) => [`form[${k}]`, v]));
  const sent = await page.request.post('/rpc/runs/launch', { headers, form: { tenant: demo.tenant, ...fields } });
  await open(page, sent.headers().location);
  const search = page.getByRole('searchbox', { name: 'Search this log' });
  await search.fill('half a wor');
  await search.evaluate((field) => (window.typed = field));
  await search.focus();
  // From waiting to training the run says a lot.
  const chip = page.locator('header.head .chip');
  await expect(chip).toHaveText(/Training|Evaluating|Succeeded/, { timeout: 300_000 });
  // The trainer says a first number some time after it was started.
  await page.getByText('Show as table').click({ timeout: 240_000 });
  await search.focus();
  const table = page.getByRole('region', { name: 'Table: metrics' });
  const rows = await table.getByRole('row').count();
  await expect(async () => expect(await table.getByRole('row').count()).toBeGreaterThan(rows)).toPass({ timeout: 240_000 });
  await expect(table).toBeVisible();
  expect(await search.evaluate((field) => field === window.typed && field.value)).toBe('half a wor');
  await expect(search).toBeFocused();
  await page.request.post('/rpc/runs/cancel', { headers, form: { tenant: demo.tenant, id: new URL(page.url()).pathname.split('/').at(-1) } });
  await expect(chip).toHaveText(/Stopped|Succeeded/, { timeout: 120_000 });
  page.watch.quiet();
});

test.describe('the playground', () => {
  const ask = async (page, question) => {
    await page.getByRole('textbox', { name: 'Message' }).fill(question);
    await page.getByRole('button', { name: /^Send/ }).click();
    await expect(page.getByRole('button', { name: /^Send/ })).toBeVisible({ timeout: 120_000 });
  };
  const said = (page) => page.locator('.turn.me p').allInnerTexts();

  test('no turn vanishes, and what is set is what is sent', async ({ visit, demo }) => {
    const page = await visit('engineer');
    await open(page, `/t/${demo.tenant}/playground`);
    await page.getByLabel('System prompt').fill('Answer in one word.');
    await page.getByLabel('Temperature').fill('1.5');
    await page.getByLabel('Longest answer').fill('32');
    const asked = [];
    for (const question of ['What is Lumenta?', 'And Velkor?', 'Who is there?', 'Is it far?']) {
      const [request] = await Promise.all([page.waitForRequest((r) => r.url().endsWith('/playground/chat')), ask(page, question)]);
      expect(request.postDataJSON()).toMatchObject({ temperature: 1.5, max_tokens: 32, system: 'Answer in one word.' });
      asked.push(question);
      await expect.poll(() => said(page)).toEqual(asked);
      await changeSeen(page, demo, `turn-${asked.length}`);
      expect(await said(page), 'after an event').toEqual(asked);
      await expect(page.getByLabel('Temperature')).toHaveValue('1.5');
      await expect(page.getByLabel('Longest answer')).toHaveValue('32');
      await expect(page.getByLabel('System prompt')).toHaveValue('Answer in one word.');
    }
    await page.reload();
    await expect.poll(() => said(page)).toEqual(asked);
    page.watch.quiet();
  });

  test('the longest answer fits the model, and a long conversation is told in our words', async ({ visit, demo }) => {
    const page = await visit('engineer');
    await open(page, `/t/${demo.tenant}/playground?model=${demo.base_model}`);
    const longest = page.getByLabel('Longest answer');
    const most = await longest.getAttribute('max');
    await longest.fill(most);
    // A question of some length leaves less than the slider's end.
    await ask(page, 'Tell me about Lumenta and Velkor. '.repeat(12));
    await expect(page.locator('.turn-error')).toHaveCount(0);
    await ask(page, 'Tell me about Lumenta and Velkor. '.repeat(400));
    await expect(page.locator('.turn-error').last()).toContainText('longer than the model’s context. Start a new chat, or ask a shorter question.');
    await ask(page, 'Hello?');
    await expect(page.locator('.turn-error')).toHaveCount(1);
    page.watch.quiet();
  });
});
