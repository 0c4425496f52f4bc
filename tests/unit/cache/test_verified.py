"""What verified hits say about a scope, and the similarity that is taken from it."""

from __future__ import annotations

import pytest

from service.cache.evidence import SHIPPED, Evidence, read, upper_bound
from service.cache.judge import JudgeError
from service.cache.ledger import MemoryLedger
from service.cache.verified import Verified, is_below

SHARP = JudgeError("j:m", different=100, missed=0, same=100, alarmed=0)
BLUNT = JudgeError("j:m", different=100, missed=40, same=100, alarmed=0)
EVIDENCE = {"en": Evidence(0.99, 840, 210, ((0.5, 20, 120), (0.55, 3, 117), (0.6, 0, 112), (0.7, 0, 90)))}
SCOPE = "caller:anna/coding/en"


def known(
    max_error: float = 0.04,
    error: JudgeError | None = SHARP,
    ledger: MemoryLedger | None = None,
    evidence: dict[str, Evidence] = EVIDENCE,
) -> Verified:
    """What is known before any verdict."""
    return Verified(evidence, frozenset(evidence), max_error, error, ledger or MemoryLedger())


def judge(verified: Verified, times: int, similarity: float, *, same: bool, scope: str = SCOPE) -> None:
    """So many equal verdicts."""
    for _ in range(times):
        verified.add(scope, similarity, same=same)


@pytest.mark.parametrize(("errors", "tried"), [(0, 100), (1, 100), (3, 400), (9, 300), (0, 1), (40, 2000)])
@pytest.mark.parametrize("accepted", [0.005, 0.02, 0.05, 0.2])
def test_the_quick_comparison_is_clopper_and_pearsons(errors: int, tried: int, accepted: float) -> None:
    """The same as the exact bound at 97.5 %."""
    assert is_below(errors, tried, accepted) == (upper_bound(errors, tried, 0.975) <= accepted)


def test_without_verdicts_the_shipped_evidence_decides_as_without_a_judge() -> None:
    """English from .63 on, as the conservative setting has it, by the pairs alone."""
    shipped = {"en": read("all-MiniLM-L6-v2", SHIPPED)["en"]}

    verified = known(0.05, evidence=shipped)

    assert verified.taken("caller:anna/lightweight/en") == 0.63


def test_a_smaller_error_is_served_only_once_it_is_proven() -> None:
    """112 pairs cannot show 1 %: nothing is served until verdicts have shown it."""
    verified = known(0.01)
    assert verified.taken(SCOPE) is None

    judge(verified, 400, 0.72, same=True)

    assert verified.taken(SCOPE) is not None


def test_good_verdicts_below_lower_the_similarity() -> None:
    """What was explored and found right is served from then on."""
    verified = known()
    before = verified.taken(SCOPE)

    judge(verified, 300, 0.62, same=True)

    after = verified.taken(SCOPE)
    assert before is not None
    assert after is not None
    assert after < before


def test_wrong_hits_raise_the_similarity_of_their_scope_alone() -> None:
    """Another caller's, tier's or language's stays."""
    verified = known()
    other = verified.taken("caller:ben/coding/en")

    judge(verified, 8, 0.66, same=False)

    raised = verified.taken(SCOPE)
    assert raised is None or raised > 0.66
    assert verified.taken("caller:ben/coding/en") == other


def test_a_language_that_is_off_stays_off() -> None:
    """Whatever was verified in it."""
    verified = known()
    judge(verified, 500, 0.9, same=True, scope="caller:anna/coding/de")

    assert verified.taken("caller:anna/coding/de") is None


def test_a_judge_that_misses_much_proves_little() -> None:
    """Its error widens the bound: the same verdicts allow less."""
    sharp, blunt = known(0.02), known(0.02, BLUNT)
    for verified in (sharp, blunt):
        judge(verified, 150, 0.9, same=True)

    assert blunt.trust < 0.6
    assert sharp.taken(SCOPE) is not None
    assert blunt.taken(SCOPE) is None
    assert blunt.bound() > sharp.bound()


def test_a_judge_that_was_never_measured_can_only_count_against_hits() -> None:
    """Its good words prove nothing, its bad ones do."""
    verified = known(error=None)
    judge(verified, 300, 0.58, same=True)
    untouched = verified.taken(SCOPE)
    judge(verified, 9, 0.95, same=False)

    assert untouched == known(error=None).taken(SCOPE)
    assert verified.taken(SCOPE) is None
    assert verified.totals() == (9, 9)


async def test_replicas_learn_from_each_other_and_a_restart_forgets_nothing() -> None:
    """All counts stand in the ledger."""
    ledger = MemoryLedger()
    one, two = known(ledger=ledger), known(ledger=ledger)
    judge(one, 12, 0.66, same=False)
    await one.sync()
    await two.sync()

    assert two.taken(SCOPE) == one.taken(SCOPE)
    assert two.totals() == (12, 12)

    judge(two, 3, 0.8, same=True)
    await two.sync()
    later = known(ledger=ledger)
    await later.sync()
    assert later.totals() == (15, 12)
    assert later.standings()[0].scope == SCOPE


async def test_a_ledger_that_is_away_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Counts wait here, which is said once, and go out when it is back."""

    class Away(MemoryLedger):
        away = True

        async def add(self, known: object, more: object) -> dict[str, int]:  # type: ignore[override]
            if self.away:
                raise OSError("refused")
            return await super().add(known, more)  # type: ignore[arg-type]

    ledger = Away()
    verified = known(ledger=ledger)
    judge(verified, 5, 0.9, same=True)
    await verified.sync()
    await verified.sync()
    assert verified.totals() == (5, 0)
    assert len(caplog.records) == 1

    ledger.away = False
    await verified.sync()

    later = known(ledger=ledger)
    await later.sync()
    assert later.totals() == (5, 0)


def test_near_duplicates_have_a_standing_of_their_own() -> None:
    """Their share of wrong hits is known, without any similarity."""
    verified = known()
    judge(verified, 9, 1.0, same=True, scope="caller:anna/coding/near")
    judge(verified, 1, 1.0, same=False, scope="caller:anna/coding/near")

    (standing,) = verified.standings()

    assert (standing.taken, standing.verified, standing.wrong) == (None, 10, 1)
    assert 0.3 < standing.bound < 0.5
