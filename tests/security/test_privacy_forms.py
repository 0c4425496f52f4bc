"""The privacy floor's detectors: every form that is promised, and texts that must be free to leave."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.model import Privacy
from service.routing.privacy import detect

ON = Privacy()
# Put together here, so that no scanner takes this file for a leak.
KEYS = {
    "AWS access key": "ASIA" + "J7Q2" * 4,
    "AWS secret key": "aws_secret_access_key = '" + "wJalrXUtnF" * 4 + "'",
    "Azure storage": "AccountKey=" + "a1B2" * 22,
    "Discord": "M" + "TA1" * 8 + "." + "Xa1b2C" + "." + "z9" * 13 + "q",
    "GitHub": "gho_" + "a1B2c3" * 6,
    "GitHub fine-grained": "github_pat_" + "A1b2" * 15,
    "GitLab": "glpat-" + "a1B2c3D4e5" * 2,
    "JWT": "token=eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "abcDEF123456",
    "npm": "//registry.example.org/:_authToken=" + "npm_" + "a1B2" * 9,
    "OpenAI, old": "sk-" + "a1B2" * 5 + "T3Blbk" + "FJ" + "c3D4" * 5,
    "OpenAI, project": "sk-proj-" + "abcDEF123_" * 5,
    "OpenAI, service account": "sk-svcacct-" + "abcDEF123-" * 5,
    "Anthropic": "sk-ant-api03-" + "Ab1_" * 20,
    "OpenRouter": "sk-or-v1-" + "0a1b2c3d" * 8,
    "Groq": "gsk_" + "a1B2c3D4" * 6,
    "xAI": "xai-" + "a1B2c3D4" * 10,
    "Perplexity": "pplx-" + "a1b2c3d4" * 6,
    "Google": "AIza" + "B1c2d" * 7,
    "Hugging Face": "hf_" + "aB" * 17,
    "DigitalOcean": "dop_v1_" + "0a1b2c3d" * 8,
    "PuTTY": "PuTTY-User-Key-" + "File-2: ssh-rsa",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "PyPI": "pypi-AgEIcHlwaS5v" + "cmc" + "a1B2" * 18,
    "SendGrid": "SG." + "a1B2c3D4e5F" * 2 + "." + "a1B2c3D4e5F" * 3 + "g6H7i8J9k0",
    "Slack token": "xoxb-" + "123456789012-abcdefGHIJ",
    "Slack hook": "https://hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "Square": "sq0csp-" + "a1B2c3D4e5" * 4 + "xyz",
    "Stripe": "rk_live_" + "a1B2c3" * 4,
}
CARDS = {
    "Visa": "4111111111111111",
    "Visa of 13 digits": "4222222222222",
    "Mastercard": "5555555555554444",
    "Mastercard of the 2 series": "2223003122003222",
    "American Express": "378282246310005",
    "Diners Club": "30569309025904",
    "Discover": "6011111111111117",
    "JCB": "3530111333300000",
    "UnionPay": "6200000000000005",
}
BENIGN = [
    "What is an API key, and how do I rotate my password safely?",
    "import os\nclient = OpenAI(api_key=os.environ['OPENAI_API_KEY'])",
    "sk-learn, sk-image and task-based scheduling are other things",
    "550e8400-e29b-41d4-a716-446655440000 and 6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "a4111111111111111b is a word of a hash",
    "x = [3.141592653589793238, 2.718281828459045235, 4.111111111111111]",
    "0x4111111111111111 and 4111111111111112",
    "1733055600000, 1733055601000 and 1733055602000000000 are times",
    "the tweet 1790000000000000001 and the snowflake 175928847299117063",
    "+49 30 1234567 8901 is how to reach us; the order is 20261126 0001 0042",
    "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    "1234 5678 9012 3456",
    "0000 0000 0000 0000 or 9999999999999995",
    "aws s3 cp s3://bucket/key . --profile prod # token expired",
    "git clone git@example.org:a/b.git; the digest is sha256:" + "0a1b2c3d" * 8,
    "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40,
    "ISBN 978-3-16-148410-0, IBAN DE89 3704 0044 0532 0130 00",
    "SELECT 9007199254740993, 18446744073709551615, -9223372036854775808",
    "gl-matrix and glob-parent are packages; eyJ is how a JWT begins",
]
WORDS = st.text(st.sampled_from("abc xyz .,:;()\n\"'"), max_size=40)


@pytest.mark.parametrize("name", KEYS)
def test_each_promised_form_of_a_key_is_seen(name: str) -> None:
    """A key stays in the house wherever it stands in a text."""
    assert detect([f"why is this refused? {KEYS[name]}\nThanks"], ON) == "key"


@pytest.mark.parametrize("form", ["{}", "card: {},12/27", "a,{},123", "pay {}.", "{} 12/27 123", "号码{}。"])
@pytest.mark.parametrize("name", CARDS)
def test_each_issuer_is_seen_beside_other_digits(name: str, form: str) -> None:
    """An expiry date, a check number or a neighbouring column hides no card."""
    assert detect([form.format(CARDS[name])], ON) == "card"


@pytest.mark.parametrize("written", ["4111 1111 1111 1111 123", "4111-1111-1111-1111", "3782 822463 10005 1227"])
def test_groups_of_a_card_are_put_together(written: str) -> None:
    """Blanks and hyphens are how cards are printed."""
    assert detect([f"charge {written}"], ON) == "card"


@pytest.mark.parametrize("text", BENIGN)
def test_ordinary_text_may_leave(text: str) -> None:
    """Ids, hashes, times, numbers in code and talk about keys are no secrets."""
    assert detect([text], ON) is None


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(KEYS)), WORDS, WORDS)
def test_what_stands_around_a_key_does_not_hide_it(name: str, before: str, after: str) -> None:
    """The verdict is about the key, not about its surroundings."""
    assert detect([f"{before}\n{KEYS[name]}\n{after}"], ON) == "key"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200))
def test_any_text_gets_a_verdict(text: str) -> None:
    """Detectors are total: digits of any script, control characters, emoji."""
    assert detect([text], Privacy(emails=True)) in (None, "key", "card", "email")
