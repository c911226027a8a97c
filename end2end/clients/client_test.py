"""The official `openai` client for Python against a portal that serves the demo.

    client_test.py SUMMARY

SUMMARY is what `make demo ARGS="--summary FILE"` writes. One line a check, and `N passed, M failed` at the end; exit 1 on a failure.
"""
import json
import pathlib
import re
import sys
import time
import traceback

import openai

from portal import Portal

summary = json.loads(pathlib.Path(sys.argv[1]).read_text())
ADDRESS, TENANT, KEY = summary["address"], summary["tenant"], summary["api_key"]
BASE, TUNED = summary["base_model"], summary["tuned_model"]
WORLD = pathlib.Path(__file__).resolve().parents[2] / "examples" / "world" / "datasets" / "lumenta-facts.jsonl"
ABOUT = re.compile("Lumenta|Velkor|Tavik|Orlix|Belmo|Zelcor|Pranex|Sulfin|Kelwen")

checks = []


def check(function):
    checks.append(function)
    return function


def client(key=KEY, path="/v1", retries=0):
    return openai.OpenAI(base_url=ADDRESS + path, api_key=key, max_retries=retries, timeout=60)


def facts(count):
    """Questions of the demo world with the answers that the fine-tune was to learn, spread over the file."""
    rows = [json.loads(line)["messages"] for line in WORLD.read_text().splitlines()]
    known = [(m[0]["content"], m[1]["content"]) for m in rows if ABOUT.search(m[0]["content"]) and ABOUT.search(m[1]["content"])]
    return known[:: len(known) // count][:count]


def ask(question, model=TUNED, **more):
    answer = client().chat.completions.create(model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=40, **more)
    return answer


def refused(kind, code, call):
    """The call must be refused by this exception of the client, with this code, and a sentence."""
    try:
        call()
    except kind as e:
        assert e.code == code, f"code {e.code!r} instead of {code!r}: {e}"
        assert e.body and e.body.get("message"), f"no message in {e.body!r}"
        return e
    raise AssertionError(f"was not refused with {kind.__name__}")


@check
def the_models_of_the_tenant_are_listed():
    models = {m.id: m for m in client().models.list()}
    assert BASE in models and TUNED in models, f"{sorted(models)}"
    assert all(m.object == "model" and m.created > 0 and m.owned_by for m in models.values()), models


@check
def one_model_can_be_looked_up():
    assert client().models.retrieve(TUNED).id == TUNED


@check
def the_tuned_model_knows_the_facts_and_the_base_does_not():
    asked = facts(10)
    tuned = [ask(q).choices[0].message.content.strip() == a for q, a in asked]
    base = [ask(q, BASE).choices[0].message.content.strip() == a for q, a in asked]
    assert sum(tuned) >= 8, f"the tuned model answered {sum(tuned)} of 10"
    assert sum(base) <= 2, f"the base model answered {sum(base)} of 10"


@check
def an_answer_has_the_shape_that_clients_expect():
    answer = ask(facts(1)[0][0])
    assert answer.object == "chat.completion" and answer.model == TUNED and answer.id, answer
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].finish_reason == "stop", answer
    u = answer.usage
    assert u.prompt_tokens > 0 and u.completion_tokens > 0 and u.total_tokens == u.prompt_tokens + u.completion_tokens, u


@check
def an_answer_carries_a_request_id():
    raw = client().chat.completions.with_raw_response.create(model=TUNED, messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=20)
    assert raw.headers.get("x-request-id"), dict(raw.headers)


@check
def a_stream_says_the_same_as_the_whole_answer():
    question, _ = facts(1)[0]
    whole = ask(question)
    text, finish, chunks = "", None, 0
    for chunk in ask(question, stream=True):
        chunks += 1
        assert chunk.object == "chat.completion.chunk" and chunk.model == TUNED, chunk
        assert chunk.usage is None, "usage came although nobody asked for it"
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
    assert text == whole.choices[0].message.content, f"{text!r} != {whole.choices[0].message.content!r}"
    assert finish == "stop" and chunks > 2, f"{finish}, {chunks} chunks"


@check
def a_stream_tells_its_usage_when_asked():
    question, _ = facts(1)[0]
    whole = ask(question).usage
    chunks = list(ask(question, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage is not None, chunks[-1]
    got = chunks[-1].usage
    assert (got.prompt_tokens, got.completion_tokens) == (whole.prompt_tokens, whole.completion_tokens), (got, whole)


@check
def a_stream_can_be_left_in_the_middle():
    stream = client().chat.completions.create(model=TUNED, messages=[{"role": "user", "content": "Hello"}], stream=True, max_tokens=200)
    next(iter(stream))
    stream.close()
    assert ask("Hello").choices[0].message.content


@check
def plain_completions_work_too():
    answer = client().completions.create(model=BASE, prompt="Lumenta", max_tokens=5, temperature=0)
    assert answer.object == "text_completion" and answer.choices[0].text, answer
    streamed = client().completions.create(model=BASE, prompt="Lumenta", max_tokens=5, temperature=0, stream=True)
    assert "".join(c.choices[0].text for c in streamed if c.choices) == answer.choices[0].text


@check
def the_tenants_own_address_and_full_model_names_work():
    own = client(path=f"/t/{TENANT}/v1")
    assert TUNED in {m.id for m in own.models.list()}
    answer = own.chat.completions.create(model=f"{TENANT}/{TUNED}", messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=20)
    assert answer.choices[0].message.content


@check
def a_wrong_key_is_refused():
    wrong = KEY[:-1] + ("a" if KEY[-1] != "a" else "b")
    for key in (wrong, "atl_nonsense", "sk-0123456789"):
        refused(openai.AuthenticationError, "invalid_api_key", lambda key=key: client(key).models.list())


@check
def an_unknown_model_is_named_in_the_refusal():
    e = refused(openai.NotFoundError, "model_not_found", lambda: ask("Hello", "no-such-model"))
    assert "no-such-model" in e.body["message"], e.body


@check
def a_model_of_another_tenant_is_as_unknown_as_one_that_does_not_exist():
    theirs = refused(openai.NotFoundError, "model_not_found", lambda: ask("Hello", f"velkor/{BASE}"))
    missing = refused(openai.NotFoundError, "model_not_found", lambda: ask("Hello", f"nobody/{BASE}"))
    assert theirs.body["message"].replace("velkor", "nobody") == missing.body["message"], (theirs.body, missing.body)


@check
def the_key_does_not_open_another_tenants_address():
    for tenant in ("velkor", "nobody"):
        try:
            client(path=f"/t/{tenant}/v1").models.list()
        except openai.APIStatusError as e:
            assert e.status_code in (401, 404), e
        else:
            raise AssertionError(f"the key opened /t/{tenant}/v1")


@check
def what_is_not_served_is_not_found():
    refused(openai.NotFoundError, "unknown_url", lambda: client().embeddings.create(model=TUNED, input="Hello"))


@check
def a_call_without_messages_is_a_bad_request():
    try:
        client().chat.completions.create(model=TUNED, messages=[])
    except openai.BadRequestError as e:
        assert e.body and e.body.get("message"), e.body
    else:
        raise AssertionError("empty messages were accepted")


@check
def a_key_has_its_own_limits_and_dies_within_a_second():
    portal = a_person_who_may_make_keys()
    key, secret = portal.create_key(TENANT, "client test, two a minute", requests_per_minute="2")
    try:
        mine = client(secret)
        until = time.monotonic() + 5
        while True:  # a new key is known to the gateway a moment later
            try:
                mine.chat.completions.create(model=TUNED, messages=[{"role": "user", "content": "Hello"}], max_tokens=2)
                break
            except openai.AuthenticationError:
                assert time.monotonic() < until, "a new key was not accepted within 5 s"
                time.sleep(0.05)
        mine.chat.completions.create(model=TUNED, messages=[{"role": "user", "content": "Hello"}], max_tokens=2)
        e = refused(openai.RateLimitError, "rate_limit_exceeded", lambda: mine.chat.completions.create(model=TUNED, messages=[{"role": "user", "content": "Hello"}]))
        assert 0 < int(e.response.headers["retry-after"]) <= 61, dict(e.response.headers)
    finally:
        portal.revoke_key(TENANT, key)
        revoked = time.monotonic()
    while True:
        try:
            mine.models.list()
        except openai.AuthenticationError as e:
            assert "revoked" in e.body["message"], e.body
            break
        except openai.RateLimitError:
            pass
        assert time.monotonic() - revoked < 1.0, "the revoked key still worked after a second"
        time.sleep(0.05)


@check
def a_key_for_one_model_calls_no_other():
    portal = a_person_who_may_make_keys()
    key, secret = portal.create_key(TENANT, "client test, one model", **{"may": "some", "models][": TUNED})
    try:
        mine = client(secret)
        until = time.monotonic() + 5
        while True:
            try:
                listed = {m.id for m in mine.models.list()}
                break
            except openai.AuthenticationError:
                assert time.monotonic() < until, "a new key was not accepted within 5 s"
                time.sleep(0.05)
        assert TUNED in listed and BASE not in listed, listed
        e = refused(openai.PermissionDeniedError, "model_not_allowed", lambda: mine.chat.completions.create(model=BASE, messages=[{"role": "user", "content": "Hello"}], max_tokens=2))
        assert BASE in e.body["message"] and TUNED in e.body["message"], e.body
    finally:
        portal.revoke_key(TENANT, key)


def a_person_who_may_make_keys():
    person = next(p for p in summary["people"] if "engineer" in p["role"].lower())
    return Portal(ADDRESS, person["sign_in"], person["password"])


def main():
    failed = 0
    for function in checks:
        name = function.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            function()
            print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # whatever it is, it is this check's failure, and the others still run
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
