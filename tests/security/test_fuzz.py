"""Whatever comes in, the answer is one that clients know: never a defect of ours, never a silence."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.house import House

KNOWN = {200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 503, 504}
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


def test_every_route_answers_whatever_its_schema_allows_and_forbids(running: House) -> None:
    """Generated paths, queries, headers and bodies, valid and not: a known status, errors of OpenAI's form."""
    seen = set()

    def judge(case: schemathesis.Case) -> None:
        answer = case.call(timeout=60)
        seen.add(case.path)
        assert answer.status_code in KNOWN, answer.text[:500]
        if answer.status_code >= 400 and "json" in answer.headers.get("content-type", [""])[0]:
            assert set(answer.json()) & {"error", "ready"}

    for found in schemathesis.openapi.from_url(f"{running.base}/openapi.json").get_all_operations():
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            operation = found.ok()
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # any text is a path
            chosen = operation.as_strategy(generation_mode=mode)
            run = settings(deadline=None, max_examples=15, suppress_health_check=QUIET, derandomize=True, database=None)
            run(given(case=chosen)(judge))()

    assert {"/v1/chat/completions", "/v1/route", "/v1/feedback", "/v1/decisions/{decision_id}"} <= seen


TEXT = st.text(max_size=60)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, width=32) | TEXT
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal", "x"])},
        optional={"text": SCALARS, "image_url": ANYTHING, "file": ANYTHING},
    )
    | ANYTHING,
    max_size=3,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "x"])},
        optional={
            "content": TEXT | PARTS | ANYTHING,
            "tool_calls": st.lists(ANYTHING, max_size=2) | ANYTHING,
            "tool_call_id": SCALARS,
            "name": SCALARS,
            "function_call": ANYTHING,
        },
    )
    | ANYTHING,
    max_size=4,
)
FIELDS = st.fixed_dictionaries(
    {"model": st.sampled_from(["auto", "lightweight", "coding", "reasoning"]), "messages": MESSAGES},
    optional={
        "tools": st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": ANYTHING}), max_size=2)
        | ANYTHING,
        "tool_choice": ANYTHING,
        "response_format": ANYTHING,
        "stop": ANYTHING,
        "metadata": st.dictionaries(TEXT, SCALARS, max_size=2) | ANYTHING,
        "max_tokens": SCALARS,
        "temperature": SCALARS,
        "stream": SCALARS,
        "stream_options": ANYTHING,
        "logit_bias": ANYTHING,
        "n": SCALARS,
        "seed": SCALARS,
        "user": SCALARS,
        "reasoning_effort": SCALARS,
    },
)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
@settings(deadline=None, max_examples=60, suppress_health_check=QUIET, derandomize=True)
@given(body=FIELDS)
def test_any_messages_and_fields_get_an_answer(running: House, path: str, body: dict[str, Any]) -> None:
    """Messages of every shape: served or refused in OpenAI's form, and the service has no defect to log."""
    content = json.dumps(body).encode("utf-8", "surrogatepass")

    answer = httpx.post(f"{running.base}{path}", content=content, trust_env=False, timeout=60)

    assert answer.status_code in KNOWN, answer.text[:500]
    if answer.status_code != 200:
        assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


@settings(deadline=None, max_examples=60, suppress_health_check=QUIET, derandomize=True)
@given(
    name=st.sampled_from(["tier", "conversation", "cache", "privacy", "other"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300),
)
def test_any_directive_gets_an_answer(running: House, name: str, value: str) -> None:
    """Our own headers with any characters that HTTP carries."""
    headers = [(f"x-autotier-{name}".encode(), value.strip().encode("latin-1")), (b"content-type", b"application/json")]
    body = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'

    answer = httpx.post(f"{running.base}/v1/route", content=body, headers=headers, trust_env=False, timeout=60)

    assert answer.status_code in KNOWN


def test_none_of_it_was_a_defect(running: House) -> None:
    """The log of all the above holds no trace of an error of ours. Runs last in this file."""
    assert "Traceback" not in running.log()
    assert "unexpected error" not in running.log()
    assert running.get("/healthz").status_code == 200
