"""What must hold in every cell, one rule each; a rule gives the words of what it finds wrong.

Each rule has a patch in ``tests/faults/breaks`` that breaks it, and the test that then fails.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.cells import FIRST_TOKEN_S, LIMITS, LOCAL_HOSTS, SCALE
from tests.faults.play import HOST_OF, Seen

SLACK_S = 1.5 * SCALE
"""For a machine that is busy with other things. Broken limits show as seconds more, or as the client giving up."""

Rule = Callable[[Seen], str | None]


def no_empty_success(seen: Seen) -> str | None:
    """A 200 that ends well has an answer in it."""
    reply = seen.reply
    if reply.status == 200 and reply.error is None and not reply.text.strip():
        return "a 200 without any text"
    return None


def no_silent_cut(seen: Seen) -> str | None:
    """A stream ends with ``[DONE]`` or with an error event, never with both, and a cut text is never called whole."""
    reply = seen.reply
    if reply.status == 200 and reply.done is (reply.error is not None):
        return "the stream ended with both an error and [DONE]" if reply.done else "the stream just stopped"
    if reply.status == 200 and reply.done and seen.record["attempts"][-1]["outcome"] != "answered":
        return f"[DONE] after {seen.record['attempts'][-1]['outcome']}"
    return None


def first_token_in_time(seen: Seen) -> str | None:
    """The first token, or the error, comes within the tier's limit and what cold hosts add to it."""
    limit = FIRST_TOKEN_S[seen.cell.tier] + len(LOCAL_HOSTS) * LIMITS["cold_extra_s"]
    took = seen.reply.first_token_s if seen.reply.first_token_s is not None else seen.reply.total_s
    if seen.cell.tier == "reasoning":
        limit = FIRST_TOKEN_S["reasoning"]
    # A whole answer that died had tokens: the limit stood still meanwhile.
    limit += LIMITS["between_tokens_s"] if seen.cell.case.dies else 0.0
    return f"{took:.1f} s to the first token or the error, limit {limit:.1f} s" if took > limit + SLACK_S else None


def nothing_after_the_cap(seen: Seen) -> str | None:
    """Nothing lasts longer than the cap."""
    cap = LIMITS["answer_cap_s"] + LIMITS["between_tokens_s"]
    return f"{seen.reply.total_s:.1f} s in all" if seen.reply.total_s > cap + SLACK_S else None


def every_attempt_recorded(seen: Seen) -> str | None:
    """What hosts were asked stands in the record, and nothing else; so do all that were passed over, and the end."""
    if not seen.attempts:
        return "no attempt in the record"
    if [a["order"] for a in seen.attempts] != list(range(len(seen.attempts))):
        return "attempts are missing in between"
    sent = dict.fromkeys(seen.chats, 0)
    for attempt in seen.attempts:
        if attempt["way"] is not None:
            sent[HOST_OF[attempt["deployment_id"]]] += 1
    for host, count in seen.chats.items():
        if count > sent[host]:
            return f"{host} was asked {count} times, {sent[host]} of them recorded"
    reply = seen.reply
    ending = "answered" if reply.error is None else "cut" if reply.status == 200 else "failed"
    if seen.record["outcome"] != ending:
        return f"the client saw {ending!r}, recorded is {seen.record['outcome']!r}"
    named = [a["deployment"] for a in (reply.error or {}).get("attempts", ())]
    if reply.error is not None and named != [a["deployment_id"] for a in seen.attempts]:
        return f"the error names {named}, recorded are {[a['deployment_id'] for a in seen.attempts]}"
    return None


def reasoning_never_local(seen: Seen) -> str | None:
    """No local host hears of a reasoning request."""
    asked = [name for name in LOCAL_HOSTS if seen.chats[name]]
    return f"{', '.join(asked)} got a reasoning request" if seen.cell.tier == "reasoning" and asked else None


def retry_after_is_kept(seen: Seen) -> str | None:
    """A 429 moves on at once, and the deployment is left alone for as long as its host asked."""
    if seen.cell.name != "429" or seen.faulty is None:
        return None
    position = seen.attempts.index(seen.faulty)
    if seen.cell.healthy_after and position == len(seen.attempts) - 1:
        return "the chain did not move on"
    again = (seen.again or {"attempts": []})["attempts"]
    second = next((a for a in again if a["deployment_id"] == seen.cell.deployment), None)
    if second is not None and second["way"] is not None:
        return "a second request was sent within Retry-After"
    return None


def clients_fault_is_not_paid_for(seen: Seen) -> str | None:
    """What one host calls the client's fault goes to the client, not to the next host."""
    if seen.cell.name != "400":
        return None
    if seen.reply.status != 400:
        return f"the client got {seen.reply.status}"
    return None if seen.attempts[-1]["outcome"] == "bad_request" else "the chain went on after a 400"


def operators_fault_is_told(seen: Seen) -> str | None:
    """A refused key stands in the log and in the metrics, with the deployment's name."""
    if seen.cell.name != "401":
        return None
    missing = [
        place
        for place, words in {
            "log": f"deployment {seen.cell.deployment} needs its operator",
            "metrics": f'deployment="{seen.cell.deployment}",outcome="unauthorized"',
        }.items()
        if words not in seen.told
    ]
    return f"not told in {' and '.join(missing)}" if missing else None


def next_host_answers(seen: Seen) -> str | None:
    """Nothing gets lost: where a healthy host is left in the chain and time for it, it answers."""
    cell, reply = seen.cell, seen.reply
    if not cell.healthy_after or cell.name == "400" or (cell.case.dies and cell.stream):
        return None
    if cell.expected == frozenset({"first_token_timeout"}) and not cell.is_local:
        return None  # a cloud may take whatever is left of the tier's limit (DESIGN, "Limits")
    return f"the client got {reply.status} though {cell.healthy_after[0]} was there" if not reply.done else None


def failure_is_named(seen: Seen) -> str | None:
    """The attempt at the faulty deployment has the outcome that the fault is."""
    cell, faulty = seen.cell, seen.faulty
    if faulty is None:
        stood_in = seen.attempts and HOST_OF[seen.attempts[-1]["deployment_id"]] == cell.host
        return None if stood_in else "the chain never came to the faulty deployment"
    # A deployment that rests because another one at the same host has failed is passed over.
    allowed = cell.expected | {"cooling_down", "remembered_down", "preflight_failed"}
    if faulty["outcome"] not in (allowed if cell.is_local else cell.expected):
        return f"{faulty['outcome']} ({faulty['detail'][:80]}) instead of {' or '.join(sorted(cell.expected))}"
    return None


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_empty_success,
        no_silent_cut,
        first_token_in_time,
        nothing_after_the_cap,
        every_attempt_recorded,
        reasoning_never_local,
        retry_after_is_kept,
        clients_fault_is_not_paid_for,
        operators_fault_is_told,
        next_host_answers,
        failure_is_named,
    )
}


def violations(seen: Seen) -> list[str]:
    """What is wrong in a cell: rule and words, empty where all is well."""
    return [f"{seen.cell}: {name}: {said}" for name, rule in RULES.items() if (said := rule(seen)) is not None]
