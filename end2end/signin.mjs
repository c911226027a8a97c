// Signs people in through the form of the development provider or of Keycloak, once each, and keeps the session for all workers and later runs.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The person of the summary in this role: `admin`, `auditor`, `owner`, `engineer`, `viewer`, or `stranger` (the second tenant's owner). */
export function person(summary, role) {
  const own = (p) => !/velkor|second|other/i.test(p.role);
  const found = role === 'stranger' ? summary.people.find((p) => !own(p)) : summary.people.find((p) => own(p) && p.role.toLowerCase().includes(role));
  if (!found) throw new Error(`the summary has nobody who is ${role}: ${summary.people.map((p) => p.role).join(', ')}`);
  return found;
}

/** Fills the sign-in form that the page is led to, and waits until it is back at the portal. */
export async function signIn(page, { sign_in: name, password }, returnTo = '/') {
  await page.goto(`/auth/login?return_to=${encodeURIComponent(returnTo)}`);
  const secret = page.locator('input[type=password]').first();
  const form = page.locator('form').filter({ has: secret });
  const who = form.locator('select, input:not([type=password]):not([type=hidden]):not([type=submit])').first();
  if ((await who.evaluate((e) => e.tagName)) === 'SELECT') await who.selectOption(name);
  else await who.fill(name);
  await secret.fill(password);
  await Promise.all([page.waitForURL((url) => !/^\/(auth|dev|realms)(\/|$)/.test(url.pathname)), form.locator('button[type=submit], input[type=submit], button:not([type])').first().click()]);
}

/** Playwright's storage state of a signed-in person; signs in when none is kept or the kept session has ended. */
export async function storageState(browser, summary, role) {
  const folder = join(dirname(summary.file), 'sessions');
  const file = join(folder, `${role}.json`);
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8'));
    if (kept.address === summary.address && (await isSignedIn(browser, summary, kept.state))) return kept.state;
  }
  const context = await browser.newContext({ baseURL: summary.address });
  try {
    await signIn(await context.newPage(), person(summary, role));
    const state = await context.storageState();
    mkdirSync(folder, { recursive: true });
    // Another worker may do the same now: whoever is last wins, and nobody reads half a file.
    const beside = `${file}.${process.pid}`;
    writeFileSync(beside, JSON.stringify({ address: summary.address, state }));
    renameSync(beside, file);
    return state;
  } finally {
    await context.close();
  }
}

async function isSignedIn(browser, summary, state) {
  const context = await browser.newContext({ baseURL: summary.address, storageState: state });
  try {
    const answer = await context.request.get('/', { maxRedirects: 0 });
    return !(answer.headers().location ?? '').includes('login') && answer.status() < 400;
  } finally {
    await context.close();
  }
}
