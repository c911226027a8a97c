// Runs against a portal that already serves the demo's data: ATELIER_SUMMARY names the file that `make demo ARGS="--summary FILE"` wrote.
import { defineConfig } from '@playwright/test';
import { summary } from './summary.mjs';

const { address } = summary();

export default defineConfig({
  testDir: 'tests',
  outputDir: 'results',
  // Two cores: more workers only wait for each other. Tests of one file stay in order and share their sign-ins.
  workers: 2,
  fullyParallel: false,
  retries: 0,
  forbidOnly: true,
  // Generous: on two cores a browser and a trainer take turns. A page that works does not wait for these.
  timeout: 180_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    baseURL: address,
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1440, height: 900 },
    actionTimeout: 20_000,
    navigationTimeout: 60_000,
    screenshot: 'only-on-failure',
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] },
  },
});
