"""Detectors for what must stay in the house: keys, payment cards, e-mail addresses.

The patterns of keys are those of detect-secrets (Yelp) with the makers' newer forms beside them; card numbers are
checked by python-stdnum (Luhn). A hit names the kind, never the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from service.config.model import Privacy

# Only detectors with a prefix or form of their own: those of detect-secrets that look for words like "password" near a
# value would keep half of all programming questions at home.
_DETECTORS = (
    ("aws", "AWSKeyDetector"),
    ("azure_storage_key", "AzureStorageKeyDetector"),
    ("discord", "DiscordBotTokenDetector"),
    ("github_token", "GitHubTokenDetector"),
    ("gitlab_token", "GitLabTokenDetector"),
    ("jwt", "JwtTokenDetector"),
    ("npm", "NpmDetector"),
    ("openai", "OpenAIDetector"),
    ("private_key", "PrivateKeyDetector"),
    ("pypi_token", "PypiTokenDetector"),
    ("sendgrid", "SendGridDetector"),
    ("slack", "SlackDetector"),
    ("square_oauth", "SquareOAuthDetector"),
    ("stripe", "StripeDetector"),
)
# Forms younger than the library: OpenAI's project keys, Anthropic, OpenRouter, Google, Hugging Face, GitHub's own.
_NEWER = (
    r"sk-(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{20,}",
    r"sk-[A-Za-z0-9]{40,}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"hf_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{50,}",
)
# One cheap search that nearly every text without a key fails; each literal begins or belongs to a form above.
_HINT = re.compile(
    r"A3T|A[BCKS]IA|aws.{0,20}?(?:key|pwd|pw|password|pass|token)|AccountKey=|gh[pousr]_|github_pat_|gl[a-z]{1,6}-"
    r"|GR1348941|eyJ|_authToken|sk-|PRIVATE KEY|PuTTY|pypi-Ag|SG\.|xox[abposr]-|hooks\.slack|sq0csp-"
    r"|[rs]k_live_|AIza|hf_|[MNO][\w-]{23,25}\.",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d.,-]?\d)")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


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
    from stdnum import luhn

    return any(
        luhn.is_valid(digits) and len(set(digits)) > 1
        for digits in (re.sub(r"[ -]", "", match.group()) for match in _CARD.finditer(text))
        if digits[0] in "23456"  # the issuers' first digits (ISO/IEC 7812)
    )


def detect(texts: Iterable[str], settings: Privacy) -> str | None:
    """The kind of the first hit (``key``, ``card``, ``email``), or None.

    Linear in the length of the texts; the caller takes long ones off the event loop.
    """
    for text in texts:
        if settings.keys and _HINT.search(text) and any(p.search(text) for p in _key_patterns()):
            return "key"
        if settings.cards and _has_card(text):
            return "card"
        if settings.emails and _EMAIL.search(text):
            return "email"
    return None
