// What every browser test starts from: pages of signed-in people that are watched for errors, and contexts that are reused.
import { test as base, expect } from '@playwright/test';
import { storageState } from '../signin.mjs';
import { summary as read } from '../summary.mjs';

export { expect };

/** Anything that a page complains about, gathered while it is used. */
export class Watch {
  #complaints = [];
  #expected = [];

  constructor(page) {
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.#complain(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => this.#complain(`page error: ${error.message}`));
    page.on('requestfailed', (request) => {
      // A page that is left drops its event stream and what it was still asking for.
      if (request.failure()?.errorText !== 'net::ERR_ABORTED') this.#complain(`failed request: ${request.method()} ${request.url()} ${request.failure()?.errorText}`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400) this.#complain(`answer ${response.status()}: ${response.request().method()} ${response.url()}`);
    });
  }

  /** A refusal that the test is about. */
  expecting(pattern) {
    this.#expected.push(pattern);
  }

  #complain(text) {
    this.#complaints.push(text);
  }

  /** Fails when the page complained about anything that was not expected. */
  quiet() {
    const rest = this.#complaints.filter((text) => !this.#expected.some((pattern) => pattern.test(text)));
    expect(rest, 'the page complained').toEqual([]);
  }
}

/** Waits until the page can be used. Nothing is clicked before: the click would be lost or do a full page load. */
export async function hydrated(page) {
  // Or a page that has no program to wait for.
  await expect(page.locator('body:is([data-hydrated], [data-still])')).toBeVisible({ timeout: 60_000 });
}

/** Opens a page with scripts on and waits until it can be used. */
export async function open(page, path) {
  const answer = await page.goto(path);
  await hydrated(page);
  return answer;
}

export const test = base.extend({
  /** The demo's summary. */
  demo: [async ({}, use) => use(read()), { scope: 'worker' }],

  /** `await visit('engineer', { javaScriptEnabled: false })` -> a watched page; one context a person and kind for the whole worker. */
  contexts: [
    async ({ browser, demo }, use) => {
      const kept = new Map();
      await use(async (role, options = {}) => {
        const key = JSON.stringify([role, options]);
        if (!kept.has(key)) {
          const state = role ? await storageState(browser, demo, role) : undefined;
          kept.set(key, await browser.newContext({ baseURL: demo.address, locale: 'en-GB', timezoneId: 'UTC', viewport: { width: 1440, height: 900 }, storageState: state, ...options }));
        }
        return kept.get(key);
      });
      for (const context of kept.values()) await context.close();
    },
    { scope: 'worker' },
  ],

  visit: async ({ contexts }, use, info) => {
    const opened = [];
    await use(async (role, options) => {
      const context = await contexts(role, options);
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      page.setDefaultNavigationTimeout(60_000);
      page.watch = new Watch(page);
      opened.push(page);
      return page;
    });
    for (const [i, page] of opened.entries()) {
      if (info.status !== info.expectedStatus && !page.isClosed()) {
        await info.attach(`page-${i}`, { body: await page.screenshot({ fullPage: true }).catch(() => Buffer.from('')), contentType: 'image/png' });
      }
      await page.close();
    }
  },
});
