"""A month of corrections, played: does a champion get better by them, and does it stay as it is where they are noise?

The truth is the team's labels of domains that the champion was trained without. Requests are drawn from one part of
their topics; a few get a correction, some of them wrong; at the end of the month the champion is retrained and the gate
asked. What was gained is measured on the other part of the topics.

    python -m training.month FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact, load_artifact
from classifier.features import SCHEMA, feature_row
from classifier.model import Classifier
from classifier.prompt import view_of
from classifier.record import LabelledRequest, read_requests, read_rows, write_rows
from classifier.tiers import TIERS, tier_index
from training import retrain
from training.correction import Plan
from training.dataset import EXAMPLES_FILE, FROZEN_FILE, data_path
from training.first_stage import FirstConfig, training_view
from training.gate import Judgement, judge
from training.honesty import mean_interval
from training.logged_labels import LoggedLabel
from training.split import grouped
from training.train import run as train

Floats = NDArray[np.float64]
Corrections = Literal["honest", "random", "opposite"]

DOMAINS = ("everyday", "pasted")
REQUESTS = "requests.jsonl.gz"
START_S = 1_790_000_000.0
MONTH_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class World:
    """Where a month is played.

    Attributes:
        champion: Folder of the champion, trained without the domains.
        data: Folder of its base data.
        traffic: Rows that requests are drawn from.
        held_out: Rows of other topics of the same domains.
    """

    champion: Path
    data: Path
    traffic: tuple[LabelledRequest, ...]
    held_out: tuple[LabelledRequest, ...]


@dataclass(frozen=True, slots=True)
class Month:
    """What a month brought.

    Attributes:
        corrections: Number of corrections.
        judgement: What the gate said.
        gain: Log loss that held-out requests lost, mean; above 0 is better.
        gain_interval: Its 95 % interval, topics drawn again.
        right: Share of held-out requests that go right more.
        right_interval: Its interval.
    """

    corrections: int
    judgement: Judgement
    gain: float
    gain_interval: tuple[float, float]
    right: float
    right_interval: tuple[float, float]

    def public(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "corrections": self.corrections, "promoted": self.judgement.ok, "reason": self.judgement.reason,
            "log_loss_gain": self.gain, "log_loss_gain_interval": self.gain_interval, "right": self.right,
            "right_interval": self.right_interval,
        }  # fmt: skip


def world(folder: Path, *, domains: Sequence[str] = DOMAINS, most_base: int | None = None, seed: int = 0) -> World:
    """Train a first stage without some domains.

    Args:
        folder: For its data and the artifact.
        domains: Groups of the base data.
        most_base: So many base rows; None: all.
        seed: Of the choice of rows.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    data, champion = folder / "data", folder / "champion"
    data.mkdir(parents=True, exist_ok=True)
    base, ours = list(read_rows(data_path() / REQUESTS)), set(domains)
    kept = [row for row in base if row["group"] not in ours]
    if most_base is not None:
        kept = [kept[i] for i in np.sort(np.random.default_rng(seed).permutation(len(kept))[:most_base])]
    write_rows(data / REQUESTS, kept)
    for name in (FROZEN_FILE, EXAMPLES_FILE):
        (data / name).write_bytes((data_path() / name).read_bytes())
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        train(out=champion, data=data, deep=False, from_scratch=True, name="small", seed=seed, config=QUICK)
    wanted = {str(row["id"]) for row in base if row["group"] in ours}
    rows = [r for r in read_requests(data_path() / REQUESTS, source="written") if r.id in wanted]
    fold = grouped([r.block or r.id for r in rows], 2)
    parts = [tuple(r for r, f in zip(rows, fold, strict=True) if f == k) for k in range(2)]
    return World(champion, data, parts[0], parts[1])


QUICK = FirstConfig(max_iter=25, min_rows=8)
"""A champion for a play: it need not be the best, it must not know the domains."""


def label_of(
    row: LabelledRequest, artifact: Artifact, number: int, tier: int, *, caller: str = "local", weight: float = 1.0
) -> LoggedLabel:
    """A correction of a request, as the log gives it out."""
    features = feature_row(training_view(row, artifact.follow_up))
    at = START_S + number
    chosen = Classifier(artifact).view_probabilities(view_of(row.request)).argmax()
    name = f"dec_{number:032x}"
    return LoggedLabel(
        decision_id=name, decided_s=at, labelled_s=at + 60, caller=caller, labelled_by=caller, conversation=name,
        chosen=TIERS[int(chosen)], reason="classifier", artifact=artifact.id, feature_schema=SCHEMA,
        structure=features.structure, indices=features.indices, values=features.values, carried=False,
        second_logodds=None, language=row.lang, tier=TIERS[tier], source="caller", weight=weight, explicit=True,
    )  # fmt: skip


def corrections(
    place: World, *, kind: Corrections = "honest", requests: int = 6_000, share: float = 0.05, wrong: float = 0.1,
    seed: int = 0,
) -> list[LoggedLabel]:  # fmt: skip
    """The corrections of a month.

    Args:
        place: The world.
        kind: `honest`: the team's label but for `wrong`; `random`: any tier; `opposite`: what is lightweight is said
            to need reasoning, and the other way round.
        requests: Of the month.
        share: Of the requests that get a correction.
        wrong: Of the corrections that name another tier than the truth.
        seed: Of the month.
    """
    random = np.random.default_rng(seed)
    artifact = load_artifact(place.champion)
    asked = random.integers(0, len(place.traffic), requests)
    found = []
    for number in np.flatnonzero(random.random(requests) < share).tolist():
        row = place.traffic[int(asked[number])]
        true = tier_index(row.tier)
        said = {"random": int(random.integers(0, 3)), "opposite": 2 - true, "honest": true}[kind]
        if kind == "honest" and random.random() < wrong:
            said = (true + int(random.integers(1, 3))) % 3
        one = label_of(row, artifact, number, said)
        at = START_S + MONTH_S * number / requests
        found.append(replace(one, decided_s=at, labelled_s=at + 60))
    return found


def attempt(place: World, folder: Path, said: Sequence[LoggedLabel], seed: int = 0) -> Judgement:
    """Retrain at the end of the month and ask the gate.

    Args:
        place: The world.
        folder: For the challenger.
        said: The corrections.
        seed: Of the retraining and the gate.
    """
    made = retrain.run(Plan(place.champion, folder, data=place.data, cache=place.data / "cache", seed=seed), said)
    return judge(made.path, place.champion, data=place.data, seed=seed, whole=False)


def play(place: World, folder: Path, said: Sequence[LoggedLabel], seed: int = 0) -> Month:
    """`attempt`, and what the challenger is worth on held-out requests beside the month without corrections."""
    judgement = attempt(place, folder, said, seed)
    before, after = (_predictions(Classifier(load_artifact(p)), place.held_out) for p in (place.champion, folder))
    true = np.array([tier_index(r.tier) for r in place.held_out], dtype=np.intp)
    at = np.arange(true.size)
    gain = np.log(np.maximum(after[at, true], 1e-9)) - np.log(np.maximum(before[at, true], 1e-9))
    right = (after.argmax(axis=1) == true).astype(np.float64) - (before.argmax(axis=1) == true)
    topics = np.unique([r.block or r.id for r in place.held_out], return_inverse=True)[1].astype(np.intp)
    found = [mean_interval(v, np.ones(true.size), topics, seed) or (-np.inf, np.inf) for v in (gain, right)]
    return Month(len(said), judgement, float(gain.mean()), found[0], float(right.mean()), found[1])


def _predictions(model: Classifier, rows: Sequence[LabelledRequest]) -> Floats:
    return np.array([model.view_probabilities(view_of(r.request)) for r in rows])


def main(folder: Path, seeds: int = 20) -> None:
    """Play an honest month, one of the opposite, and months of random corrections; write figures as JSON lines."""
    place = world(folder, most_base=1_200)
    plays: list[tuple[Corrections, int]] = [("honest", 0), ("opposite", 0)]
    plays += [("random", seed) for seed in range(seeds)]
    for kind, seed in plays:
        month = play(place, folder / f"{kind}-{seed}", corrections(place, kind=kind, seed=seed), seed)
        sys.stdout.write(json.dumps({"kind": kind, "seed": seed, **month.public()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
