"""What stays in the house."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.model import Privacy
from service.routing import privacy
from service.routing.privacy import PIECE, detect

ON = Privacy()
ALL = Privacy(emails=True)


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE", "use ghp_" + "a1B2c3D4e5F6" * 3 + " to push", "sk-proj-" + "abcDEF123_" * 5,
        "sk-ant-api03-" + "Ab1_" * 20, "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3Blb",
        "xoxb-" + "123456789012-abcdefGHIJ",
        "glpat-" + "x" * 20, "AIza" + "B" * 35, "hf_" + "a" * 34, "github_pat_" + "A1b2" * 15,
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0.abcDEF123456", "sk_live_" + "0" * 24,
    ],
)  # fmt: skip
def test_keys_are_seen(text: str) -> None:
    """Each form of a key, in the middle of a prompt."""
    assert detect(["hello", f"please debug this: {text}"], ON) == "key"


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"])
def test_cards_are_seen_by_their_check_digit(number: str) -> None:
    """A Luhn-valid number with an issuer's first digit, however it is grouped."""
    assert detect([f"charge {number} please"], ON) == "card"


@pytest.mark.parametrize(
    "text",
    [
        "What is an API key and how do I rotate my password?", "4111 1111 1111 1112", "0000 0000 0000 0000",
        "550e8400-e29b-41d4-a716-446655440000", "commit 3f1c2aa9be0d41bb7f2f0c3b0a4f5b6c7d8e9f00",
        "import os; key = os.environ['OPENAI_API_KEY']", "pi is 3.14159265358979323846", "sk-learn is a library", "",
        "aws s3 cp s3://bucket/key . --profile prod", "1733055600000 1733055601000",
    ],
)  # fmt: skip
def test_ordinary_text_may_leave(text: str) -> None:
    """Talk about keys, hashes, ids and timestamps is not a secret."""
    assert detect([text], ON) is None


def test_emails_are_looked_for_only_where_the_operator_says_so() -> None:
    """Off by default."""
    assert detect(["write to ann.lee@example.org"], ON) is None
    assert detect(["write to ann.lee@example.org"], ALL) == "email"


def test_each_detector_can_be_switched_off() -> None:
    """Nothing is looked for that is off."""
    off = Privacy(keys=False, cards=False)

    assert detect(["AKIA" + "IOSFODNN7EXAMPLE 4111 1111 1111 1111"], off) is None


@pytest.mark.parametrize("filler", ["2026-11-26 05:12 worker handled job 12\n", "word, ", "word ", "9"])
@pytest.mark.parametrize(("hit", "kind"), [("4111 1111 1111 1111", "card"), (f"AIza{'x' * 35}", "key")])
@pytest.mark.parametrize("before", [0, PIECE - 20, PIECE - 8, PIECE, 3 * PIECE - 30])
def test_long_texts_are_searched_across_their_pieces(filler: str, hit: str, kind: str, before: int) -> None:
    """Wherever a piece may end, with and without lines, a hit is found; and nothing is found where there is none."""
    text = (filler * (before // len(filler) + 1))[:before]
    behind = filler * (2 * PIECE // len(filler))

    found = detect([f"{text} {hit} {behind}"], Privacy())

    assert found == kind
    assert detect([text + behind], Privacy()) is None


def test_a_hint_stands_under_a_mark_that_it_holds() -> None:
    """None is lost, and none asks for a mark that its text may not have."""
    assert sorted(hint for _, hints in privacy._HINTS_BY_MARK for hint in hints) == sorted(privacy._HINTS)
    assert all(mark in hint for mark, hints in privacy._HINTS_BY_MARK for hint in hints)


@given(st.text(st.sampled_from("4137 -.\xa0a_é٣"), max_size=40))
def test_a_card_begins_where_a_number_does(text: str) -> None:
    """What may not stand before a number is looked at behind its first digit: the same runs are found."""
    plain = re.compile(r"(?<![A-Za-z0-9_])(?<!\d[.])\d(?:[ \xa0-]?\d){12,}(?![A-Za-z0-9_]|\.\d)", re.ASCII)

    assert privacy._DIGITS.findall(text) == plain.findall(text)
