"""Similar asks: what is compared, what a slow or failing embedding model costs, what a wrong answer takes along."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from service.cache.answers import AnswerCache
from service.cache.entry import Entry
from service.cache.evidence import Evidence
from service.cache.judge import JudgeError
from service.cache.key import Key
from service.cache.ledger import MemoryLedger
from service.cache.memory import MemoryAnswers
from service.cache.semantic import MOST_FAILURES, REST_S, SemanticCache
from service.cache.vectors import MemoryVectors
from service.cache.verified import Verified
from service.config.cache import CacheSettings
from service.demo.hosts.vectors import embed

FIRST = "How do I undo my last commit in Git?"
AGAIN = "I committed too early, what takes that back in Git?"


class HashedWords:
    """The simulated hosts' embedding, in the process.

    Attributes:
        texts: What was embedded.
        wait_s: How long a call takes.
        error: Raised instead, if set.
    """

    model = "hashed-words"
    is_local = True

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.wait_s = 0.0
        self.error: Exception | None = None

    async def embed(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        self.texts.append(text)
        await asyncio.sleep(self.wait_s)
        if self.error is not None:
            raise self.error
        return np.array(embed(text, 256), dtype=np.float32) * 3

    async def close(self) -> None:
        """Nothing is open."""


class Rig:
    """A cache over memory with a clock of its own."""

    def __init__(self, cosine: float = 0.05, verified: Verified | None = None) -> None:
        self.now = 100.0
        self.embedder = HashedWords()
        answers = MemoryAnswers(1_000_000, 60, clock=lambda: self.now)
        self.semantic = SemanticCache(
            self.embedder,
            MemoryVectors(100),
            answers,
            {"en": cosine},
            deadline_s=0.05,
            verified=verified,
            clock=lambda: self.now,
        )
        self.cache = AnswerCache(answers, CacheSettings(), self.semantic, verified, now_s=lambda: self.now)

    async def ask(self, text: str, scope: str = "s" * 32) -> str | None:
        """The decision that a similar ask's answer was made for; None: a miss, whose answer is then kept."""
        digest = f"{abs(hash((text, scope))):032d}"
        key = Key(digest, digest, scope, text)
        if not self.cache.compares(key, leaves_house=False):
            return None
        looked = await self.cache.find_similar(key)
        if looked.found is not None:
            return looked.found.entry.decision_id
        message = {"role": "assistant", "content": "Use reset."}
        entry = Entry(digest, scope, "mini", text, self.now, 1.0, 0.0, [{"index": 0, "message": message}])
        await self.cache.keep(key, entry, looked.vector)
        return None


async def test_a_similar_ask_of_the_same_scope_is_served() -> None:
    """And none of another scope, or in a language that is off."""
    rig = Rig()
    assert await rig.ask(FIRST) is None

    assert await rig.ask(AGAIN, scope="t" * 32) is None
    assert await rig.ask("Wie mache ich den letzten Commit in Git rückgängig?") is None
    assert await rig.ask(AGAIN) == FIRST
    assert "Wie mache ich den letzten Commit in Git rückgängig?" not in rig.embedder.texts


async def test_the_guard_stands_above_the_cosine() -> None:
    """However low the threshold, another number, name or single word is another question."""
    rig = Rig(cosine=-1.0)
    await rig.ask(FIRST)

    assert await rig.ask("How do I redo my last commit in Git?") is None
    assert await rig.ask("What takes 2 early commits back in Git?") is None
    assert rig.semantic.snapshot()["semantic_refused_few_words_total"] >= 1


async def test_between_two_rivals_nothing_is_served() -> None:
    """Two kept asks that differ from each other are both near: which one is meant is not known."""
    rig = Rig(cosine=0.01)
    await rig.ask(FIRST)
    await rig.ask("How do I redo my last commit in Git?")

    assert await rig.ask(AGAIN) is None
    assert rig.semantic.snapshot()["semantic_refused_ambiguous_total"] == 1


async def test_below_the_threshold_nothing_is_served() -> None:
    """The cosine of the language decides after the guard."""
    rig = Rig(cosine=0.99)
    await rig.ask(FIRST)

    assert await rig.ask(AGAIN) is None


async def test_an_answer_that_is_over_its_time_is_not_served() -> None:
    """Its vector goes with it."""
    rig = Rig()
    await rig.ask(FIRST)
    rig.now += 61

    assert await rig.ask(AGAIN) is None


@pytest.mark.parametrize("error", [OSError("refused"), None], ids=["fails", "is slow"])
async def test_a_model_that_does_not_answer_rests(error: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    """Each call ends at its deadline; after three it is left alone for a while, then tried by one call."""
    rig = Rig()
    rig.embedder.error, rig.embedder.wait_s = error, 0.0 if error else 10.0
    for number in range(MOST_FAILURES + 3):
        assert await rig.ask(f"How do I undo commit {number} in Git?") is None
    assert len(rig.embedder.texts) == MOST_FAILURES
    assert len(caplog.records) == 1

    rig.now += REST_S + 1
    rig.embedder.error, rig.embedder.wait_s = None, 0.0

    assert await rig.ask(FIRST) is None
    assert await rig.ask(AGAIN) == FIRST


async def test_one_wrong_answer_takes_its_neighbours_along() -> None:
    """What is nearly the same ask has nearly the same answer: it may be as wrong."""
    rig = Rig()
    near = "How do I undo my very last commit in Git?"
    far = "Which kinds of tree lose their leaves in autumn?"
    for text in (FIRST, near, far):
        await rig.ask(text)
    places = {text: f"{abs(hash((text, 's' * 32))):032d}" for text in (FIRST, near, far)}

    assert await rig.cache.reject(places[FIRST])

    assert await rig.cache.answers.get(places[FIRST]) is None
    assert await rig.cache.answers.get(places[near]) is None
    assert await rig.cache.answers.get(places[far]) is not None
    assert not await rig.cache.reject(places[FIRST])


async def test_what_a_host_in_the_house_may_answer_is_not_embedded_outside() -> None:
    """A model elsewhere is asked only about requests that leave the house anyway."""
    rig = Rig()
    rig.embedder.is_local = False  # type: ignore[misc]
    key = Key("a" * 32, "a" * 32, "s" * 32, FIRST)

    assert not rig.cache.compares(key, leaves_house=False)
    assert rig.cache.compares(key, leaves_house=True)


def _verified(least: float) -> Verified:
    """Evidence by which a similarity is served from ``least`` on, as long as nobody verified anything."""
    evidence = Evidence(0.99, 1000, 500, ((0.4, 10, 480), (round(least - 0.05, 2), 0, 400)))
    return Verified({"en": evidence}, frozenset({"en"}), 0.03, JudgeError("j:m", 200, 0, 200, 0), MemoryLedger())


def _key(text: str, group: str = "caller:anna/coding") -> Key:
    digest = f"{abs(hash((text, group))):032d}"
    return Key(digest, digest, "s" * 32, text, group)


async def _kept(rig: Rig, text: str) -> None:
    key = _key(text)
    looked = await rig.cache.find_similar(key)
    message = {"role": "assistant", "content": "Use reset."}
    entry = Entry(key.exact, key.scope, "mini", text, rig.now, 1.0, 0.0, [{"index": 0, "message": message}])
    await rig.cache.keep(key, entry, looked.vector)


async def test_what_is_not_similar_enough_is_only_looked_at_where_it_is_to_be_verified() -> None:
    """It passes the guard, is not served, and says what a verdict on it counts for."""
    near = "My newest commit was a mistake, Git should undo that commit, how?"
    verified = _verified(0.95)
    rig = Rig(verified=verified)
    await _kept(rig, FIRST)

    usual = await rig.cache.find_similar(_key(near))
    explored = await rig.cache.find_similar(_key(near), explores=True)

    assert (usual.found, usual.almost) == (None, None)
    assert usual.vector is not None
    assert explored.found is None
    assert explored.almost is not None
    assert explored.almost.entry.ask == FIRST
    assert explored.almost.group == "caller:anna/coding/en"
    assert 0.4 <= explored.almost.similarity < 0.95


async def test_verdicts_change_what_their_scope_is_served_and_no_other() -> None:
    """Explored and found right: served from then on; found wrong: never again."""
    near = "My newest commit was a mistake, Git should undo that commit, how?"
    verified = _verified(0.95)
    rig = Rig(verified=verified)
    await _kept(rig, FIRST)
    almost = (await rig.cache.find_similar(_key(near), explores=True)).almost
    assert almost is not None

    for _ in range(300):
        verified.add(almost.group, almost.similarity, same=True)
    served = await rig.cache.find_similar(_key(near))
    other = await rig.cache.find_similar(_key(near, "caller:ben/coding"))
    for _ in range(60):
        verified.add(almost.group, almost.similarity, same=False)
    after = await rig.cache.find_similar(_key(near))

    assert served.found is not None
    assert served.found.kind == "semantic"
    assert other.found is None
    assert after.found is None
