// The settings of a run: one text behind the form, the list of all settings and the YAML; refused by name; two runs side by side.
import { readFileSync } from 'node:fs';
import { expect, open, test } from './visitor.js';

const yaml = (page) => page.locator('#yaml');
const view = async (page, name) => page.getByRole('group', { name: 'Settings as' }).getByRole('button', { name }).click();
const FILE = '# mine\nseed: 7   # lucky\n\nlearning_rate: 1.0e-4\nlora_rank: 16\n';

test('a field changes its value in the text and no other letter, and the text changes the fields', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new`);
  await view(page, 'YAML');
  await expect(page).toHaveURL(/view=yaml/);
  await yaml(page).fill(FILE);
  await view(page, 'Simple');
  await expect(page.getByLabel('Learning rate')).toHaveValue('1.0e-4');
  await page.getByLabel('LoRA rank').fill('64');
  await page.getByText('Advanced settings').click();
  await page.getByLabel('Seed').fill('8');
  await view(page, 'All settings');
  await page.getByLabel('weight_decay', { exact: true }).fill('0.01');
  await page.getByLabel('packing', { exact: true }).selectOption('true');
  await page.getByRole('button', { name: 'Reset packing', exact: true }).click();
  await view(page, 'YAML');
  await expect(yaml(page)).toHaveValue(FILE.replace('seed: 7 ', 'seed: 8 ').replace('lora_rank: 16', 'lora_rank: 64') + 'weight_decay: 0.01\n');
  page.watch.quiet();
});

test('a key of the platform’s and an unknown one are refused by name with the reason, and their lines can be taken out', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?view=yaml`);
  await yaml(page).fill('lora_rnk: 64\noutput_dir: /mnt/out\nseed: 7\n');
  const wrong = page.locator('aside .checks .fg-danger');
  await expect(wrong).toHaveCount(2);
  await expect(wrong.filter({ hasText: 'Line 1, lora_rnk' })).toContainText('Did you mean “lora_rank”?');
  await expect(wrong.filter({ hasText: 'Line 2, output_dir' })).toContainText('The platform lays out the folder of a run');
  await expect(page.getByRole('button', { name: 'Start run' })).toHaveAttribute('aria-disabled', 'true');
  for (const left of [1, 0]) {
    await page.getByRole('button', { name: 'Remove the line' }).first().click();
    await expect(wrong).toHaveCount(left);
  }
  await expect(yaml(page)).toHaveValue('seed: 7\n');
  page.watch.quiet();
});

test('all settings are searched by name, plain words and the trainer’s help; what differs and what is locked is shown with its reason', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?view=all`);
  const rows = page.locator('.allkeys tbody tr:visible');
  const search = page.getByRole('searchbox', { name: /^Search \d+ settings$/ });
  await search.fill('memory');
  await expect(page.getByRole('status').filter({ hasText: /^\d+ of \d+ settings$/ })).toBeVisible();
  const found = await rows.allInnerTexts();
  expect(found.length).toBeGreaterThan(2);
  expect(found.join()).toContain('gradient_accumulation_steps');
  await search.fill('trust_remote_code');
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText('It could run any code');
  await search.fill('');
  await page.getByRole('group', { name: 'Show' }).getByRole('button', { name: /^Differ/ }).click();
  const differing = (await rows.locator('th').allInnerTexts()).map((text) => text.split('\n')[0]);
  expect(differing).toContain('learning_rate');
  expect(differing).not.toContain('seed');
  await page.getByLabel('seed', { exact: true }).evaluate((field) => field.scrollIntoView());
  page.watch.quiet();
});

test('without scripts the views keep what was typed, and a refusal comes back with it', async ({ visit, demo }) => {
  const page = await visit('engineer', { javaScriptEnabled: false });
  await page.goto(`/t/${demo.tenant}/runs-new`);
  await page.getByLabel('LoRA rank').fill('24');
  await view(page, 'All settings');
  await expect(page.getByLabel('lora_rank', { exact: true })).toHaveValue('24');
  await page.getByLabel('weight_decay', { exact: true }).fill('0.02');
  await view(page, 'YAML');
  await expect(yaml(page)).toHaveValue(/lora_rank: 24\n[^]*weight_decay: 0.02\n/);
  await yaml(page).fill('lora_rank: 24\ntrust_remote_code: true\n');
  page.watch.expecting(/answer 4\d\d/);
  await page.getByRole('button', { name: 'Start run' }).click();
  await expect(page.getByRole('alert')).toContainText('The platform sets “trust_remote_code”');
});

test('two runs are compared by what holds for them', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs/${demo.run}?tab=config&with=defaults`);
  const table = page.getByRole('region', { name: 'Table: differences to the trainer’s defaults' });
  await expect(table.getByRole('row').filter({ hasText: 'lora_rank' })).toContainText('832');
  await open(page, `/t/${demo.tenant}/runs-new?from=${demo.run}`);
  await page.getByLabel('LoRA rank').fill('48');
  const differences = page.getByRole('region', { name: /^Table: differences to / });
  await expect(differences.getByRole('row')).toHaveCount(2);
  await page.getByRole('button', { name: 'Use the old value of lora_rank' }).click();
  await expect(differences).toHaveCount(0);
  await expect(page.getByLabel('LoRA rank')).toHaveValue('32');
  page.watch.quiet();
});

test('keys are completed by keyboard, and lines have their colours; what the platform sets is locked with its reason', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?view=yaml`);
  const [text, list] = [yaml(page), page.getByRole('listbox', { name: 'Settings' })];
  await text.fill('# mine\nseed: 7\n');
  await text.press('Control+End');
  await text.pressSequentially('weight');
  await expect(list.getByRole('option').first()).toHaveText(/^weight_decay/);
  await expect(text).toHaveAttribute('aria-activedescendant', 'yaml-keys-0');
  await text.press('Escape');
  await expect(list).toHaveCount(0);
  await text.press('Control+Space');
  await expect(list).toBeVisible();
  await text.press('Enter');
  await expect(list).toHaveCount(0);
  await text.pressSequentially('0.01\nlora_');
  await expect(list.getByRole('option').nth(1)).toBeVisible();
  const second = (await list.getByRole('option').nth(1).locator('b').textContent()) ?? '';
  await text.press('ArrowDown');
  await expect(text).toHaveAttribute('aria-activedescendant', 'yaml-keys-1');
  await text.press('Enter');
  await text.pressSequentially('8');
  await expect(text).toHaveValue(`# mine\nseed: 7\nweight_decay: 0.01\n${second}: 8`);

  const lines = page.locator('.yaml.edit pre > span');
  await expect(lines).toHaveCount(4);
  await expect(lines.nth(0).locator('i')).toHaveText('# mine');
  await expect(lines.nth(1).locator('em')).toHaveText('seed');
  await expect(lines.nth(1).locator('b')).toHaveText('7');
  await expect(page.locator('.yaml .chosen .locked').first()).toContainText(/model_name_or_path: .*Platform: It is chosen at the top of the form/);
  // The colours lie exactly under the letters.
  const [field, under] = await Promise.all([text.boundingBox(), page.locator('.yaml.edit pre').boundingBox()]);
  expect([Math.round(field.x), Math.round(field.y)]).toEqual([Math.round(under.x), Math.round(under.y)]);
  await text.fill('output_dir: /mnt/out\nseed: 7\n');
  await expect(page.locator('.yaml.edit pre > .locked')).toContainText('Platform: The platform lays out the folder of a run');
  page.watch.quiet();
});

test('a file with settings is opened into the text, and the text is saved as a file', async ({ visit, demo }) => {
  const page = await visit('engineer');
  await open(page, `/t/${demo.tenant}/runs-new?view=yaml`);
  const file = page.getByLabel('A file with settings');
  const choose = async (name, buffer) => {
    await page.getByText('Paste or open').click();
    await file.setInputFiles({ name, mimeType: 'text/yaml', buffer });
  };
  await choose('mine.yaml', Buffer.from(`\ufeff${FILE.replaceAll('\n', '\r\n')}`));
  await expect(yaml(page)).toHaveValue(FILE);
  await expect(file).toBeHidden();
  // What is in it counts as if it had been typed.
  await view(page, 'Simple');
  await expect(page.getByLabel('LoRA rank')).toHaveValue('16');
  await page.getByLabel('LoRA rank').fill('24');
  await page.getByLabel('Name of the run').fill('from-a-file');
  await view(page, 'YAML');
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
  expect(saved.suggestedFilename()).toBe('from-a-file.yaml');
  expect(readFileSync(await saved.path(), 'utf8')).toBe(FILE.replace('lora_rank: 16', 'lora_rank: 24'));
  await expect(page).toHaveURL(/\/runs-new/);
  await choose('picture.png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0x00]));
  await expect(page.getByRole('status').filter({ hasText: 'no text in UTF-8' })).toBeVisible();
  await expect(yaml(page)).toHaveValue(FILE.replace('lora_rank: 16', 'lora_rank: 24'));
  page.watch.quiet();
});

test('without scripts a file with settings is opened and saved too, and what was typed stays', async ({ visit, demo }) => {
  const page = await visit('engineer', { javaScriptEnabled: false });
  await page.goto(`/t/${demo.tenant}/runs-new?view=yaml`);
  await page.getByLabel('Name of the run').fill('plainly-from-a-file');
  await page.getByText('Paste or open').click();
  await page.getByLabel('A file with settings').setInputFiles({ name: 'mine.yaml', mimeType: 'text/yaml', buffer: Buffer.from(FILE) });
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(yaml(page)).toHaveValue(FILE);
  await expect(page.getByLabel('Name of the run')).toHaveValue('plainly-from-a-file');
  await yaml(page).fill(`${FILE}weight_decay: 0.03\n`);
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
  expect(saved.suggestedFilename()).toBe('plainly-from-a-file.yaml');
  expect(readFileSync(await saved.path(), 'utf8')).toBe(`${FILE}weight_decay: 0.03\n`);
});
