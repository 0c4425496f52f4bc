"""A score teaches how near another tier is, and only to the very text that was read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.artifact import load_artifact, shipped_path
from classifier.record import LabelledRequest, read_requests, read_rows, record_from, write_rows
from classifier.tiers import Tier
from training.dataset import BASE_FILES, data_path, load_training_data
from training.first_stage import FirstConfig, encode, fit_first, soft_label
from training.scores import SCORES_FILE, SHARE, read_scores, request_hash, scored, taught_label, tiers_of_score

GATE_SIZE = load_artifact(shipped_path()).follow_up.size
ASK = "Which of the two pumps empties the tank first?"


def row(request: str = ASK, score: int = -1) -> LabelledRequest:
    """A request that both labellers call coding."""
    return LabelledRequest("pumps-1", "pumps", Tier.CODING, request, ("coding", "coding"), score=score)


def test_a_score_belongs_to_the_text_that_was_read(tmp_path: Path) -> None:
    """The same request gets it under any name; one that was changed afterwards has none."""
    write_rows(tmp_path / SCORES_FILE, [{"request": request_hash(ASK), "score": 62}])
    hashes: dict[str, str] = {}

    found = scored([row(), row(ASK + "!")], read_scores(tmp_path / SCORES_FILE, hashes))

    assert [r.score for r in found] == [62, -1]
    assert set(hashes) == {SCORES_FILE}


@pytest.mark.parametrize("line", [{"request": "ab"}, {"request": 4, "score": 4}, {"request": "ab", "score": 101}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: dict[str, object]) -> None:
    """The message names file and row."""
    write_rows(tmp_path / SCORES_FILE, [line])

    with pytest.raises(ValueError, match=rf"{SCORES_FILE}.*not the hash of a request"):
        read_scores(tmp_path / SCORES_FILE, {})


def test_a_conversation_is_known_by_all_its_turns() -> None:
    """Another answer before the same ask is another request."""
    turns = [{"role": "user", "content": ASK}, {"role": "assistant", "content": "The left one."}]

    assert request_hash(turns) == request_hash([dict(reversed(t.items())) for t in turns])
    assert request_hash(turns) != request_hash([turns[0], {**turns[1], "content": "The right one."}])


def test_a_row_that_nobody_scored_teaches_its_labels() -> None:
    """Corrections of users have no score."""
    label = soft_label(row())

    assert taught_label(row(), label) is label


def test_a_score_near_the_border_teaches_that_it_is_near() -> None:
    """Two requests with the same labels: the one that nearly needs reasoning teaches more of it."""
    label = soft_label(row())

    plain, near = (taught_label(row(score=score), label) for score in (45, 70))

    np.testing.assert_allclose(near, (1 - SHARE) * label + SHARE * tiers_of_score(70), atol=1e-12)
    assert near[2] > plain[2] + 0.5  # more than the label's part: a score may say another tier than the label
    np.testing.assert_allclose([plain.sum(), near.sum()], 1)


@pytest.mark.parametrize(("score", "tier"), [(0, 0), (10, 0), (40, 1), (50, 1), (85, 2), (100, 2)])
def test_the_table_follows_the_scale(score: int, tier: int) -> None:
    """Far from the borders the most probable tier is the one that the scale names; each line sums to 1."""
    found = tiers_of_score(score)

    assert int(found.argmax()) == tier
    assert found.sum() == pytest.approx(1, abs=0.002)


def test_a_higher_score_never_teaches_a_lower_tier() -> None:
    """Along the scale lightweight only falls and reasoning only rises."""
    table = np.array([tiers_of_score(score) for score in range(101)])

    assert (np.diff(table[:, 0]) <= 0).all()
    assert (np.diff(table[:, 2]) >= 0).all()


def test_the_fit_is_taught_and_the_figures_are_not() -> None:
    """Scores go into what both stages are fitted on; calibration and figures go by the labels alone."""
    plain, near = (encode([row(score=score)], np.zeros(GATE_SIZE)) for score in (-1, 70))

    np.testing.assert_array_equal(plain.soft, near.soft)
    np.testing.assert_array_equal(plain.taught, plain.soft)
    assert near.taught[0, 2] > 0.5


def test_the_first_stage_learns_what_is_taught() -> None:
    """The same rows with other scores give other weights."""
    rows = [row(f"{ASK} {n}", score) for n, score in enumerate((10, 40, 90, 12, 45, 85))]
    labels = [replace(r, tier=t, labels=()) for r, t in zip(rows, (*Tier, *Tier), strict=True)]
    unscored = [replace(r, score=-1) for r in labels]

    first, second = (fit_first(encode(some, np.zeros(GATE_SIZE)), FirstConfig()) for some in (labels, unscored))

    assert np.abs(first.bias - second.bias).max() > 1e-6


def test_scores_reach_every_kind_of_row(tmp_path: Path) -> None:
    """Team-written rows, and the beginnings of their conversations under their own text."""
    turns = [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": "The left one."},
        {"role": "user", "content": "And why?"},
    ]
    row_of_file = {"id": "pumps-2", "messages": turns, "tier": "coding", "turn": "continues", "labels": ["coding"]}
    write_rows(tmp_path / next(iter(BASE_FILES)), [row_of_file])
    scores = [{"request": request_hash(turns), "score": 30}, {"request": request_hash(turns[:1]), "score": 55}]
    write_rows(tmp_path / SCORES_FILE, scores)

    data = load_training_data(None, tmp_path)

    assert [r.score for r in data.base] == [30]
    assert [r.score for r in data.beginnings] == [55]
    assert SCORES_FILE in data.hashes


def test_a_row_cannot_bring_a_score_of_its_own() -> None:
    """A column of that name in somebody's file is something else: a reward, stars."""
    assert record_from({"id": "a", "prompt": ASK, "tier": "coding", "score": 4}).score == -1


def test_the_committed_scores_hold_no_text_and_know_every_row_of_ours() -> None:
    """A hash and a number each; all team-written rows have one."""
    rows = list(read_rows(data_path() / SCORES_FILE))
    ours = [r for name in BASE_FILES for r in read_requests(data_path() / name)]

    assert all(set(r) == {"request", "score"} and len(r["request"]) == 16 and 0 <= r["score"] <= 100 for r in rows)
    assert len({r["request"] for r in rows}) == len(rows)
    assert {request_hash(r.request) for r in ours} <= {r["request"] for r in rows}
