// The official `openai` client for JavaScript against a portal that serves the demo: node client_test.mjs SUMMARY
// One line a check, and `N passed, M failed` at the end; exit 1 on a failure.
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import OpenAI from 'openai';
import { facts, summary } from '../summary.mjs';
import { Portal } from './portal.mjs';

const { address, tenant, api_key: key, base_model: base, tuned_model: tuned, people } = summary(process.argv[2]);
const client = (apiKey = key, path = '/v1') => new OpenAI({ baseURL: address + path, apiKey, maxRetries: 0, timeout: 60_000 });
const ask = (content, more = {}) => client().chat.completions.create({ model: tuned, messages: [{ role: 'user', content }], temperature: 0, max_tokens: 40, ...more });
const [{ question, answer: fact }] = facts();

/** The call must be refused by this error of the client, with this code and a sentence. */
async function refused(kind, code, call) {
  const error = await call().then(() => assert.fail(`was not refused with ${kind.name}`), (e) => e);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.code, code, error.message);
  assert.ok(error.error?.message, 'the refusal has no message');
  return error;
}

const checks = {
  async 'the models of the tenant are listed'() {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    assert.ok(ids.includes(base) && ids.includes(tuned), ids.join());
    assert.equal((await client().models.retrieve(tuned)).id, tuned);
  },
  async 'the tuned model answers and tells its usage'() {
    const answer = await ask(question);
    assert.equal(answer.model, tuned);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.ok(answer.choices[0].message.content.trim().length > 0 && fact.length > 0);
    assert.ok(answer._request_id, 'no request id');
  },
  async 'a stream says the same as the whole answer, and its usage when asked'() {
    const whole = await ask(question);
    let text = '';
    let usage = null;
    for await (const chunk of await ask(question, { stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [whole.usage.prompt_tokens, whole.usage.completion_tokens]);
  },
  async 'the streaming helper of the client gathers the answer'() {
    const runner = client().chat.completions.stream({ model: tuned, messages: [{ role: 'user', content: question }], temperature: 0, max_tokens: 40 });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.role, 'assistant');
    assert.ok(final.choices[0].message.content.length > 0);
  },
  async 'a stream can be left in the middle'() {
    const stream = await ask('Hello', { stream: true, max_tokens: 200 });
    for await (const chunk of stream) if (chunk) break;
    stream.controller.abort();
    assert.ok((await ask('Hello')).choices[0].message.content);
  },
  async 'plain completions work too'() {
    const answer = await client().completions.create({ model: base, prompt: 'Lumenta', max_tokens: 5, temperature: 0 });
    assert.equal(answer.object, 'text_completion');
    assert.ok(answer.choices[0].text.length > 0);
  },
  async "the tenant's own address and full model names work"() {
    const answer = await client(key, `/t/${tenant}/v1`).chat.completions.create({ model: `${tenant}/${tuned}`, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 20 });
    assert.ok(answer.choices[0].message.content);
  },
  async 'a wrong key is refused'() {
    await refused(OpenAI.AuthenticationError, 'invalid_api_key', () => client('atl_nonsense').models.list());
  },
  async 'unknown models and those of other tenants are refused alike'() {
    const missing = await refused(OpenAI.NotFoundError, 'model_not_found', () => ask('Hello', { model: `nobody/${base}` }));
    const theirs = await refused(OpenAI.NotFoundError, 'model_not_found', () => ask('Hello', { model: `velkor/${base}` }));
    assert.equal(theirs.error.message.replace('velkor', 'nobody'), missing.error.message);
  },
  async 'what is not served is not found'() {
    await refused(OpenAI.NotFoundError, 'unknown_url', () => client().embeddings.create({ model: tuned, input: 'Hello' }));
  },
  async 'a limit of two calls a minute holds when five come at once'() {
    const engineer = people.find((p) => /engineer/i.test(p.role));
    const portal = await Portal.signIn(address, engineer.sign_in, engineer.password);
    const made = await portal.createKey(tenant, 'client test, five at once', { requests_per_minute: '2' });
    try {
      const mine = client(made.secret);
      const until = Date.now() + 5000;
      while (await mine.models.list().then(() => false, (e) => e instanceof OpenAI.AuthenticationError)) {
        assert.ok(Date.now() < until, 'a new key was not accepted within 5 s');
        await wait(50);
      }
      const call = () => mine.chat.completions.create({ model: tuned, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 2 }).then(() => 200, (e) => e.status);
      const statuses = await Promise.all([call(), call(), call(), call(), call()]);
      assert.ok(statuses.every((s) => s === 200 || s === 429), statuses.join());
      const passed = statuses.filter((s) => s === 200).length;
      // Looking at the list may count as a request of its own.
      assert.ok(passed >= 1 && passed <= 2, `${passed} of five passed`);
    } finally {
      await portal.revokeKey(tenant, made.id);
    }
  },
};

let failed = 0;
for (const [name, run] of Object.entries(checks)) {
  const began = Date.now();
  try {
    await run();
    console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
