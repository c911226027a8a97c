// A picture of every page on the demo's data: light and dark, 360 and 1440 px, the whole page. node screens.mjs SUMMARY DIR
import { chromium } from '@playwright/test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pages } from './pages.mjs';
import { storageState } from './signin.mjs';
import { summary } from './summary.mjs';

const [file, folder] = process.argv.slice(2);
if (!file || !folder) {
  console.error('usage: node screens.mjs SUMMARY DIR');
  process.exit(2);
}
const demo = summary(file);
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const contexts = new Map();
let pictures = 0;
try {
  for (const visit of pages(demo)) {
    if (!contexts.has(visit.who)) {
      const state = visit.who ? await storageState(browser, demo, visit.who) : undefined;
      contexts.set(visit.who, await browser.newContext({ baseURL: demo.address, storageState: state, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC' }));
    }
    const page = await contexts.get(visit.who).newPage();
    for (const width of [1440, 360]) {
      await page.setViewportSize({ width, height: 900 });
      await page.goto(visit.path);
      await page.locator('body:is([data-hydrated], [data-still])').waitFor({ timeout: 60_000 });
      await page.evaluate(() => document.fonts.ready);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(folder, `${visit.name}-${colorScheme}-${width}.png`), fullPage: true });
        pictures += 1;
      }
    }
    await page.close();
    console.log(visit.name);
  }
} finally {
  await browser.close();
}
console.log(`${pictures} pictures in ${folder}`);
