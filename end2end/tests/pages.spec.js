// Every page, as everybody meets it: light and dark, phone and desk, with scripts and without.
import AxeBuilder from '@axe-core/playwright';
import { pages } from '../pages.mjs';
import { summary } from '../summary.mjs';
import { expect, hydrated, test } from './visitor.js';

const WIDTHS = [1440, 360];
const THEMES = ['light', 'dark'];
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'];

// One test a page and way, shared out between the workers.
test.describe.configure({ mode: 'parallel' });

for (const visit of pages(summary())) {
  test(`${visit.name}: works with scripts, in light and dark, at 1440 and 360 px`, async ({ visit: as }) => {
    const page = await as(visit.who);
    if (visit.status) page.watch.expecting(new RegExp(`\\b${visit.status}\\b`));
    const answer = await page.goto(visit.path);
    expect(answer.status()).toBe(visit.status ?? 200);
    await hydrated(page);
    await expect(page.locator('h1')).toHaveCount(1);
    await expect(page.locator('h1')).toHaveText(visit.h1);
    expect(await page.title()).toMatch(/Atelier/);

    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      const wide = await page.evaluate(() => ({ page: document.documentElement.scrollWidth, window: window.innerWidth }));
      expect(wide.page, `sideways scroll at ${width} px`).toBeLessThanOrEqual(wide.window);
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        // A theme changes colours only.
        const axe = new AxeBuilder({ page });
        const { violations } = await (colorScheme === 'light' ? axe.withTags(RULES) : axe.withRules(['color-contrast'])).analyze();
        expect(violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.slice(0, 4).map((n) => `${n.target} ${n.failureSummary.split('\n').slice(1, 3).join(' ')}`).join('\n  ')}`), `axe, ${colorScheme}, ${width} px`).toEqual([]);
      }
    }
    page.watch.quiet();
  });

  test(`${visit.name}: is whole without scripts`, async ({ visit: as }) => {
    const page = await as(visit.who, { javaScriptEnabled: false });
    const answer = await page.goto(visit.path);
    expect(answer.status()).toBe(visit.status ?? 200);
    await expect(page.locator('h1')).toHaveText(visit.h1);
    for (const text of visit.shows) await expect(page.getByText(text).filter({ visible: true }).first(), `${text}`).toBeVisible();
  });
}
