// Something that happens in the tenant while a page is open.

/** A key is made: every page that listens to the tenant asks anew. */
export async function change(page, demo, label) {
  const form = { tenant: demo.tenant, 'form[label]': label, 'form[may]': 'all' };
  const answer = await page.request.post('/rpc/keys/create', { form, headers: { origin: demo.address, accept: 'application/json' } });
  if (!answer.ok()) throw new Error(`no key was made: ${answer.status()} ${await answer.text()}`);
}

/** The same, and waits until the page has asked anew and drawn the answers. */
export async function changeSeen(page, demo, label) {
  let asking = 0;
  const begun = (request) => request.url().includes('/rpc/') && asking++;
  const ended = (request) => request.url().includes('/rpc/') && asking--;
  page.on('request', begun);
  page.on('requestfinished', ended);
  page.on('requestfailed', ended);
  const frame = page.waitForResponse((answer) => answer.url().endsWith('/rpc/frame'), { timeout: 60_000 });
  await change(page, demo, label);
  await frame;
  // Listeners of one event ask within half a second of each other; two quiet looks in a row are the end of it.
  for (let quiet = 0; quiet < 5; quiet = asking > 0 ? 0 : quiet + 1) await page.waitForTimeout(120);
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  page.off('request', begun);
  page.off('requestfinished', ended);
  page.off('requestfailed', ended);
}
