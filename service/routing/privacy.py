"""Detectors for what must stay in the house: keys, payment cards, e-mail addresses.

The patterns of keys are those of detect-secrets (Yelp) with the makers' newer forms beside them; card numbers are
checked by python-stdnum (Luhn). A hit names the kind, never the text. Every search is linear in the text, also in one
that was written against it (``tests/bench/privacy.py``): a pattern that is not would hold the interpreter for minutes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from functools import cache

from service.config.model import Privacy

# Not JwtTokenDetector, NpmDetector and OpenAIDetector: their searches are quadratic in "eyJeyJ...", "////..." and
# "sk-sk-..."; `_NEWER` has linear ones for the same keys. DiscordBotTokenDetector has no word to look for first.
# Only detectors with a prefix or form of their own: those of detect-secrets that look for words like "password" near a
# value would keep half of all programming questions at home.
_DETECTORS = (
    ("aws", "AWSKeyDetector"),
    ("azure_storage_key", "AzureStorageKeyDetector"),
    ("github_token", "GitHubTokenDetector"),
    ("gitlab_token", "GitLabTokenDetector"),
    ("private_key", "PrivateKeyDetector"),
    ("pypi_token", "PypiTokenDetector"),
    ("sendgrid", "SendGridDetector"),
    ("slack", "SlackDetector"),
    ("square_oauth", "SquareOAuthDetector"),
    ("stripe", "StripeDetector"),
)
# Forms younger than the library, from the makers' documentation and GitHub's list of secret scanning patterns; the last
# three stand for the library's own.
_NEWER = (
    r"sk-(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{20}",
    r"sk-[A-Za-z0-9]{40}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"hf_[A-Za-z0-9]{30}",
    r"github_pat_[A-Za-z0-9_]{50}",
    r"(?:gsk_|xai-|pplx-)[A-Za-z0-9]{40}",
    r"dop_v1_[a-f0-9]{64}",
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8}",  # the look behind: one start in a run of characters
    r":_authToken=[ \t]{0,8}(?:npm_[A-Za-z0-9]|[A-Fa-f0-9-]{36})",
    r"T3BlbkFJ[A-Za-z0-9]{20}",
)
# Every form above holds one of these in some case, and nearly every other text none: finding that out costs 5 ms for a
# megabyte, where one pattern of all of them takes 300.
_HINTS = (
    "a3t", "abia", "acca", "akia", "asia", "aws", "accountkey=", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
    "gl", "gr1348941", "eyj", "_authtoken", "sk-", "private key", "putty", "pypi-ag", "sg.", "xoxa-", "xoxb-", "xoxp-",
    "xoxo-", "xoxs-", "xoxr-", "hooks.slack", "sq0csp-", "sk_live_", "rk_live_", "aiza", "hf_", "gsk_", "xai-", "pplx-",
    "dop_v1_", "t3blbkfj",
)  # fmt: skip
_MARKS = "_-=.3"


def _by_mark(hints: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Hints by a mark that all of them hold, "" for the rest: a text without it needs no look for any of them."""
    mark_of = {hint: next((mark for mark in _MARKS if mark in hint), "") for hint in hints}
    return tuple((mark, tuple(h for h in hints if mark_of[h] == mark)) for mark in ("", *_MARKS))


_HINTS_BY_MARK = _by_mark(_HINTS)
_DISCORD = re.compile(r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}")
# Runs of digits that are no part of a word, a hash or a decimal fraction; groups by blanks or hyphens. What stands
# before is looked at behind the first digit, which a search finds at once.
_DIGITS = re.compile(r"\d(?<![A-Za-z0-9_]\d)(?<!\d[.]\d)(?:[ \xa0-]?\d){12,}(?![A-Za-z0-9_]|\.\d)", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
# The issuers' ranges and lengths (ISO/IEC 7812; the networks' own lists): Visa, Mastercard, American Express, Diners
# Club, Discover, JCB, UnionPay.
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|65\d{2}|64[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}",
    re.ASCII,
)
_SHORTEST_CARD, _LONGEST_CARD, _MOST_GROUPS, _SMALLEST_FIRST_GROUP = 13, 19, 5, 4
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


PIECE = 16_384
OVERLAP = 256


@cache
def _key_patterns() -> tuple[re.Pattern[str], ...]:
    """The library's patterns, imported at first use (0.1 s)."""
    from importlib import import_module

    patterns: list[re.Pattern[str]] = []
    for module, detector in _DETECTORS:
        patterns.extend(getattr(import_module(f"detect_secrets.plugins.{module}"), detector)().denylist)
    patterns.extend(re.compile(form) for form in _NEWER)
    return tuple(patterns)


def _has_card(text: str) -> bool:
    """Whether a whole group of digits, or several in a row, are a card's number.

    Neighbouring groups are tried alone and together, because an expiry date or a check number may follow the card.
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) - len(data.translate(None, b"0123456789")) < _SHORTEST_CARD:
        return False
    from stdnum import luhn

    return any(luhn.is_valid(digits) and len(set(digits)) > 1 for digits in _candidates(text))


def _has_key(text: str) -> bool:
    if _is_hinted(text.lower()) and any(p.search(text) for p in _key_patterns()):
        return True
    return text.count(".") > 1 and _DISCORD.search(text) is not None


def _is_hinted(lowered: str) -> bool:
    for mark, hints in _HINTS_BY_MARK:
        if mark in lowered:
            for hint in hints:
                if hint in lowered:
                    return True
    return False


def _candidates(text: str) -> Iterator[str]:
    for run in _DIGITS.finditer(text):
        groups: list[str] = _GROUP.findall(run.group())
        for first, start in enumerate(groups):
            if len(start) < _SMALLEST_FIRST_GROUP:
                continue
            digits = ""
            for group in groups[first : first + _MOST_GROUPS]:
                digits += group
                if len(digits) > _LONGEST_CARD:
                    break
                if len(digits) >= _SHORTEST_CARD and _ISSUED.fullmatch(digits):
                    yield digits


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces that end with a line, which no form above goes beyond; without lines they overlap."""
    if len(text) <= PIECE:
        yield text
        return
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            cuts = (text.rfind(mark, start + PIECE // 2, end) + 1 for mark in ("\n", ",", ";", '"', ">"))
            end = next((cut for cut in cuts if cut), end)
        yield text[start : end if text[end - 1 : end] == "\n" else end + OVERLAP]
        time.sleep(0)  # lets go of the interpreter
        start = end


def detect(texts: Iterable[str], settings: Privacy) -> str | None:
    """The kind of the first hit (``key``, ``card``, ``email``), or None.

    Linear in the length of the texts; the caller takes long ones off the event loop. Those are searched piece by piece:
    one search of a megabyte would hold the interpreter, and with it the event loop, for 30 ms.
    """
    for text in (piece for one in texts for piece in _pieces(one)):
        if settings.keys and _has_key(text):
            return "key"
        if settings.cards and _has_card(text):
            return "card"
        if settings.emails and "@" in text and _EMAIL.search(text):
            return "email"
    return None
