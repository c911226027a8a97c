// How long a changed page takes to reach an open browser under `make dev`. It edits a sentence of the admin's page of tenants and puts it back.
//
//   make dev            # in another shell, until it says "built"
//   node bench/dev-loop/measure.mjs [http://127.0.0.1:3000] [changes]
//
// Needs `npm ci` in end2end/ and Chromium. Wall time: say how many cores there are and what else runs.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from '../../end2end/node_modules/@playwright/test/index.mjs';
import { signIn } from '../../end2end/signin.mjs';

const [address = 'http://127.0.0.1:3000', changes = '3'] = process.argv.slice(2);
const file = fileURLToPath(new URL('../../app/src/pages/admin_tenants.rs', import.meta.url));
const before = readFileSync(file, 'utf8');
const SENTENCE = 'its data, runs, models and keys are its own.';
if (!before.includes(SENTENCE)) throw new Error(`${file} does not hold the sentence that is changed here`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage({ baseURL: address });
const PAGE = '/admin/tenants';
const shown = text => page.getByText(text).waitFor({ timeout: 300_000 });
const served = async text => {
  while (!(await page.request.get(PAGE).then(r => r.text(), () => '')).includes(text)) await new Promise(r => setTimeout(r, 100));
};
const seconds = since => ((performance.now() - since) / 1000).toFixed(1);
await signIn(page, { sign_in: 'admin', password: 'atelier' }, PAGE);
await page.locator('body[data-hydrated]').waitFor();
try {
  for (let i = 1; i <= Number(changes); i++) {
    const text = `Change ${i} of this page.`;
    const began = performance.now();
    writeFileSync(file, before.replace(SENTENCE, text));
    await shown(text);
    const inBrowser = seconds(began);
    await served(text);
    console.log(`change ${i}: in the browser after ${inBrowser} s, drawn by the server too after ${seconds(began)} s`);
    await page.locator('body[data-hydrated]').waitFor();
  }
} finally {
  writeFileSync(file, before);
  await browser.close();
}
