// The main job in a browser on a real cluster: `make test-cluster` starts the portal there and writes the summary that ATELIER_SUMMARY names.
import { defineConfig } from '@playwright/test';
import here from './playwright.config.js';

// One person after the other: a pod of the trainer, one of the model server and a browser share the processors.
export default defineConfig({ ...here, testDir: 'cluster', outputDir: 'results-cluster', workers: 1, timeout: 1_200_000 });
