"""``python -m tests.bench.privacy``: how long the privacy detectors take, on texts written against them too.

Each text at 100 KB and at 1 MB: a factor near 10 is linear, one near 100 is not. What stands behind a text (a hint of
every detector) makes sure that all patterns run.
"""

from __future__ import annotations

import time

from service.config.model import Privacy
from service.routing.privacy import detect

SIZES = (100_000, 1_000_000)
HINTS = " _authToken sk- AccountKey= eyJ "
TEXTS = {
    "prose": "the quick brown fox jumps over 12 lazy dogs, ",
    "code": "x = foo(bar[12], 'baz')\n",
    "base64": "aGVsbG8gd29ybGQK",
    "JWT heads": "eyJ",
    "slashes": "/",
    "OpenAI heads": "sk-",
    "AWS words": "aws_key'",
    "digits": "1",
    "card groups": "4111-",
    "spaced digits": "4 ",
    "addresses": "@a.",
    "Discord heads": "M",
    "Slack hooks": "https://hooks.slack.com/services/T",
}


def main() -> None:
    """Prints one line per text."""
    settings = Privacy(emails=True)
    detect(["warm up sk-"], settings)
    print("| text | ms at 100 KB | ms at 1 MB | factor |\n| --- | --- | --- | --- |")
    for name, unit in TEXTS.items():
        took = []
        for size in SIZES:
            text = (unit * (size // len(unit) + 1))[:size] + HINTS
            best = float("inf")
            for _ in range(3):
                started = time.perf_counter()
                detect([text], settings)
                best = min(best, time.perf_counter() - started)
            took.append(best * 1000)
        print(f"| {name} | {took[0]:.1f} | {took[1]:.1f} | {took[1] / took[0]:.1f} |")


if __name__ == "__main__":
    main()
