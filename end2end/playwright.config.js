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
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [['list']],
  use: {
    baseURL: address,
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1440, height: 900 },
    actionTimeout: 10_000,
    navigationTimeout: 20_000,
    screenshot: 'only-on-failure',
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] },
  },
});
