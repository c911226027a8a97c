// Bad input and missing rights, as a person in a browser meets them: a clear answer, and nothing is lost.
import { createServer } from 'node:http';
import { person, signIn } from '../signin.mjs';
import { expect, open, test } from './visitor.js';

const id = Date.now().toString(36);
const ROW = '{"messages": [{"role": "user", "content": "Is water wet?"}, {"role": "assistant", "content": "Yes, water is wet."}]}\n';

test.describe('tenants', () => {
  test("somebody else's tenant is not found, in the same words as one that does not exist", async ({ visit, demo }) => {
    const page = await visit('stranger');
    const said = {};
    for (const tenant of [demo.tenant, 'no-such-tenant']) {
      page.watch.expecting(/404/);
      const answer = await page.goto(`/t/${tenant}/runs`);
      expect(answer.status(), tenant).toBe(404);
      said[tenant] = (await page.getByRole('main').innerText()).replaceAll(tenant, 'TENANT');
    }
    expect(said[demo.tenant]).toBe(said['no-such-tenant']);
    expect(said[demo.tenant]).not.toContain(demo.dataset);
  });

  test('neither are its things by their ids, nor what its server functions answer', async ({ visit, demo }) => {
    const page = await visit('stranger');
    const headers = { origin: demo.address, accept: 'application/json' };
    for (const [path, form] of [
      ['/rpc/runs/get', { tenant: demo.tenant, id: demo.run }],
      ['/rpc/runs/get', { tenant: 'velkor', id: demo.run }],
      ['/rpc/models/get', { tenant: demo.tenant, name: demo.tuned_model, number: '0' }],
      ['/rpc/keys/list', { tenant: demo.tenant }],
      ['/rpc/runs/cancel', { tenant: demo.tenant, id: demo.run }],
    ]) {
      const answer = await page.request.post(path, { form, headers });
      expect(answer.status(), `${path} ${form.tenant}`).toBe(404);
      expect((await answer.json()).sentence).toBeTruthy();
    }
    expect((await page.request.get(`/t/${demo.tenant}/events`, { headers })).status()).toBe(404);
    expect((await page.request.get(`/t/${demo.tenant}/models/${demo.tuned_model}/card.md?v=1`, { headers })).status()).toBe(404);
  });

  test('the platform has no page for people of a tenant', async ({ visit }) => {
    const page = await visit('owner');
    page.watch.expecting(/404/);
    expect((await page.goto('/admin/tenants')).status()).toBe(404);
  });
});

test.describe('a viewer', () => {
  test('sees every button that is off, and why', async ({ visit, demo }) => {
    const t = `/t/${demo.tenant}`;
    const page = await visit('viewer');
    for (const [path, name] of [
      [`${t}/models/${demo.tuned_model}`, /^Deploy/],
      [`${t}/models/${demo.tuned_model}`, /^Edit card/],
      [`${t}/endpoints/${demo.endpoint}`, /^Stop/],
      [`${t}/datasets-new`, /^Upload and check/],
      [`${t}/runs-new`, /^Start run/],
    ]) {
      await open(page, path);
      const button = page.getByRole('button', { name }).first();
      await expect(button, `${path} ${name}`).toHaveAttribute('aria-disabled', 'true');
      await expect(page.getByText(/needs the engineer or owner role/i).first(), `${path} ${name}: the reason`).toBeAttached();
    }
    page.watch.quiet();
  });

  test('is refused in words when the button is gone round', async ({ visit, demo }) => {
    const page = await visit('viewer');
    const headers = { origin: demo.address, accept: 'application/json' };
    const forms = {
      'runs/cancel': { tenant: demo.tenant, id: demo.run },
      'endpoints/stop': { tenant: demo.tenant, endpoint: demo.endpoint },
      'endpoints/deploy': { tenant: demo.tenant, model: demo.tuned_model, number: '1', endpoint: '' },
      'keys/create': { tenant: demo.tenant, 'form[label]': 'x', 'form[may]': 'all' },
    };
    for (const [name, form] of Object.entries(forms)) {
      const answer = await page.request.post(`/rpc/${name}`, { form, headers });
      expect(answer.status(), name).toBe(403);
      expect((await answer.json()).sentence, name).toMatch(/needs/);
    }
    const upload = await page.request.post(`/t/${demo.tenant}/datasets-upload`, { headers, multipart: { name: 'x', file: { name: 'x.jsonl', mimeType: 'application/json', buffer: Buffer.from(ROW) } } });
    expect(upload.status()).toBe(403);
    await open(page, `/t/${demo.tenant}/endpoints/${demo.endpoint}`);
    await expect(page.locator('header.head .chip')).toHaveText('Ready');
  });

  test('finds no audit log', async ({ visit, demo }) => {
    const page = await visit('viewer');
    page.watch.expecting(/40[34]/);
    const answer = await page.goto(`/t/${demo.tenant}/audit`);
    expect([403, 404]).toContain(answer.status());
    await expect(page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Audit log' })).toHaveCount(0);
  });
});

test.describe('other sites', () => {
  test('a form that another site posts changes nothing', async ({ browser, demo }) => {
    const context = await browser.newContext({ baseURL: demo.address });
    const page = await context.newPage();
    await signIn(page, person(demo, 'viewer'));
    const html = `<form method="post" action="${demo.address}/auth/logout"><button>win a prize</button></form>`;
    const evil = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
    await new Promise((ready) => evil.listen(0, '127.0.0.1', ready));
    try {
      // Another site (localhost is not 127.0.0.1), and the same site on another port.
      for (const host of ['localhost', '127.0.0.1']) {
        await page.goto(`http://${host}:${evil.address().port}/`);
        const [answer] = await Promise.all([page.waitForResponse((r) => r.url().endsWith('/auth/logout')), page.getByRole('button').click()]);
        expect(answer.status(), host).toBe(403);
        await expect(page.getByRole('alert')).toContainText('came from another site');
      }
      await page.goto(`/t/${demo.tenant}`);
      await expect(page, 'still signed in').toHaveURL(new RegExp(`/t/${demo.tenant}$`));
    } finally {
      evil.close();
      await context.close();
    }
  });

  test('a call with a foreign or without any origin is refused', async ({ visit, demo }) => {
    const page = await visit('engineer');
    for (const origin of ['https://evil.example', 'null', undefined]) {
      const headers = { accept: 'application/json', ...(origin ? { origin } : {}) };
      const answer = await page.request.post('/rpc/runs/cancel', { form: { tenant: demo.tenant, id: demo.run }, headers });
      expect(answer.status(), String(origin)).toBe(403);
    }
  });

  test('signing in never leads to another site', async ({ browser, demo }) => {
    for (const target of ['https://evil.example/', '//evil.example/', '/\\evil.example', '/.//evil.example']) {
      const context = await browser.newContext({ baseURL: demo.address });
      const page = await context.newPage();
      await signIn(page, person(demo, 'viewer'), target);
      expect(new URL(page.url()).origin, target).toBe(demo.address);
      await page.goto(`/login?return_to=${encodeURIComponent(target)}`);
      const href = await page.getByRole('link', { name: /sign-on/ }).getAttribute('href');
      expect(new URL(href, demo.address).origin, target).toBe(demo.address);
      expect(new URL(href, demo.address).pathname, target).toBe('/auth/login');
      await context.close();
    }
  });
});

test.describe('files', () => {
  const send = async (page, demo, name, buffer, file = 'rows.jsonl') =>
    page.request.post(`/t/${demo.tenant}/datasets-upload`, {
      headers: { origin: demo.address, accept: 'application/json' },
      multipart: { name, held_out_percent: '10', tokenizer: '', file: { name: file, mimeType: 'application/octet-stream', buffer } },
    });

  for (const [what, buffer, says] of [
    ['a zip archive', Buffer.from('PK\x03\x04 something packed', 'latin1'), /zip archive/],
    ['a file in UTF-16', Buffer.from(`\ufeff${ROW}`, 'utf16le'), /UTF-16|UTF-8/],
    ['an empty file', Buffer.alloc(0), /holds no rows|empty/i],
    ['a file of blank lines', Buffer.from('\n\n  \n'), /holds no rows|empty/i],
    ['only faulty rows', Buffer.from('{"messages": []}\n{"messages": []}\n'), /None of the 2 rows/],
    ['a torn JSON list', Buffer.from(`[${ROW.trim()}, {"messages": [`), /breaks off|not a list|not valid/i],
  ]) {
    test(`${what} is answered in a sentence`, async ({ visit, demo }) => {
      const page = await visit('engineer');
      const name = `${what.replaceAll(/[^a-z]+/gi, '-').toLowerCase()}-${id}`;
      const answer = await send(page, demo, name, buffer);
      if (answer.ok()) {
        const { href } = await answer.json();
        await open(page, href);
        await expect(page.locator('header.head .chip')).toHaveText('Rejected');
        await expect(page.getByText(says).first()).toBeVisible();
        await expect(page.getByRole('link', { name: 'New run with this' })).toHaveCount(0);
      } else {
        expect(answer.status()).toBe(422);
        expect(JSON.stringify(await answer.json())).toMatch(says);
      }
      page.watch.quiet();
    });
  }

  test('one broken line in the middle costs that line only, and is named', async ({ visit, demo }) => {
    const page = await visit('engineer');
    const name = `line-${id}`;
    const rows = Array.from({ length: 40 }, (_, i) => ROW.replace('Is water wet?', `Is water wet, question ${i}?`));
    rows[24] = rows[24].slice(0, 40) + '\n';
    const answer = await send(page, demo, name, Buffer.from(rows.join('')));
    const { href } = await answer.json();
    await open(page, href);
    await expect(page.getByText('1 row left out')).toBeVisible();
    await open(page, `${href}&tab=rows&which=rejected`);
    await expect(page.locator('#line-25')).toContainText('DS-JSON');
    await expect(page.getByText('Rows 1 to 1 of 1')).toBeVisible();
  });

  test('names with odd characters are refused with one that works, in the page', async ({ visit, demo }) => {
    const page = await visit('engineer');
    for (const name of ['Ümlaut Straße', '../etc/passwd', 'a'.repeat(80), 'x\u202ey', '<b>x</b>']) {
      const answer = await send(page, demo, name, Buffer.from(ROW));
      expect(answer.status(), name).toBe(422);
      const problem = await answer.json();
      expect(problem.fields.map((f) => f.field), name).toContain('name');
    }
    await open(page, `/t/${demo.tenant}/datasets-new`);
    await page.getByLabel('Dataset', { exact: true }).fill('Meine Daten');
    await page.getByLabel('JSON or JSONL').setInputFiles({ name: 'rows.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(ROW) });
    page.watch.expecting(/422/);
    await page.getByRole('button', { name: 'Upload and check' }).click();
    await expect(page.getByRole('alert')).toContainText('cannot be used as a name');
    await page.getByRole('button', { name: 'Use meine-daten' }).click();
    await expect(page.getByLabel('Dataset', { exact: true })).toHaveValue('meine-daten');
    page.watch.quiet();
  });

  test('a file that is refused says so where one looks, far from the button too', async ({ visit, demo }) => {
    const page = await visit('engineer');
    await page.setViewportSize({ width: 1280, height: 600 });
    await open(page, `/t/${demo.tenant}/datasets-new`);
    await page.getByLabel('Dataset', { exact: true }).fill(`nothing-${id}`);
    await page.getByLabel('JSON or JSONL').setInputFiles({ name: 'rows.jsonl', mimeType: 'application/jsonl', buffer: Buffer.alloc(0) });
    page.watch.expecting(/422/);
    await page.getByRole('button', { name: 'Upload and check' }).click();
    await expect(page.getByRole('alert')).toBeInViewport();
    await expect(page.getByRole('alert')).toBeFocused();
    await expect(page.locator('#file-says')).toContainText('The file is empty.');
    page.watch.quiet();
  });

  test('a file name cannot become a path or markup', async ({ visit, demo }) => {
    const page = await visit('engineer');
    const rows = Array.from({ length: 12 }, (_, i) => ROW.replace('Is water wet?', `Is water wet, ${i}?`)).join('');
    const answer = await send(page, demo, `odd-file-${id}`, Buffer.from(rows), '../../<img src=x onerror=alert(1)>.jsonl');
    expect(answer.ok()).toBe(true);
    const { href } = await answer.json();
    await open(page, `${href}&tab=versions`);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(`odd-file-${id}`);
    await expect(page.locator('main img')).toHaveCount(0);
    page.watch.quiet();
  });
});

test('a run that was refused can be mended and started on the same page', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?from=${demo.run}`);
  const [name, start] = [page.getByLabel('Name of the run'), page.getByRole('button', { name: 'Start run' })];
  // What the page can judge, it judges while typing.
  await name.fill('Ab c');
  await expect(page.locator('#name-says')).toContainText('cannot be used as a name');
  await expect(start).toHaveAttribute('aria-disabled', 'true');
  await page.getByRole('button', { name: 'Use ab-c' }).click();
  await expect(name).toHaveValue('ab-c');
  await expect(start).not.toHaveAttribute('aria-disabled', 'true');
  // What only the server knows, it says; the refusal ends with the value that was refused.
  const taken = await page.request.post('/rpc/runs/get', { form: { tenant: demo.tenant, id: demo.run }, headers: { origin: demo.address, accept: 'application/json' } });
  await name.fill((await taken.json()).run.name);
  page.watch.expecting(/422/);
  await start.click();
  await expect(page.locator('#name-says')).toContainText('There is already a run');
  await expect(start).toHaveAttribute('aria-disabled', 'true');
  await name.fill(`mended-${id}`);
  await expect(start).not.toHaveAttribute('aria-disabled', 'true');
  page.watch.quiet();
});

test('ticking a model means only that model', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/keys-new`);
  const [all, some] = [page.getByLabel('Every model of the tenant'), page.getByLabel('Only these')];
  await expect(all).toBeChecked();
  await page.getByLabel(demo.tuned_model, { exact: true }).check();
  await expect(some).toBeChecked();
  await expect(all).not.toBeChecked();
  // Without scripts both can be sent: that is asked about, not decided.
  const headers = { origin: demo.address, accept: 'application/json' };
  const form = { tenant: demo.tenant, 'form[label]': `both-${id}`, 'form[may]': 'all', 'form[models][0]': demo.tuned_model };
  const answer = await page.request.post('/rpc/keys/create', { form, headers });
  expect(answer.status()).toBe(422);
  expect((await answer.json()).fields.map((f) => f.field)).toEqual(['models']);
});

test('the same form sent twice starts one run', async ({ visit, demo }) => {
  const page = await visit('engineer');
  const headers = { origin: demo.address, accept: 'application/json' };
  const draft = await page.request.post('/rpc/runs/draft', { headers, form: { tenant: demo.tenant, from: demo.run, preset: '', dataset: '' } });
  const { form } = await draft.json();
  const name = `twice-${id}`;
  const fields = Object.fromEntries(Object.entries({ ...form, name, model_name: name }).map(([k, v]) => [`form[${k}]`, v]));
  const sent = await Promise.all([0, 1, 2].map(() => page.request.post('/rpc/runs/launch', { headers, form: { tenant: demo.tenant, ...fields } })));
  const places = sent.map((answer) => answer.headers().location);
  expect(sent.map((a) => a.status())).toEqual([200, 200, 200]);
  expect(new Set(places).size, places.join()).toBe(1);
  // It is stopped by the button on its page, which is not offered twice.
  await open(page, places[0]);
  await page.getByRole('link', { name: 'Stop' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Stop the run' }).click();
  await expect(page.locator('header.head .chip')).toHaveText(/Stopp(ed|ing)/, { timeout: 60_000 });
  await expect(page.locator('header.head .chip')).toHaveText('Stopped', { timeout: 120_000 });
  await expect(page.getByRole('link', { name: 'Stop' })).toHaveCount(0);
  await expect(page.getByRole('alertdialog')).toHaveCount(0);
  page.watch.quiet();
});
