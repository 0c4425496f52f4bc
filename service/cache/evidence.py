"""From measured pairs to a threshold: the operator states the error that is acceptable, the cache keeps to it.

The idea is vCache's (Schroeder et al. 2025, "vCache: Verified Semantic Prompt Caching"): no threshold out of the air.
Evidence is per embedding model and language, on pairs that set it (`service.cache.evaluation` says which); a language
without evidence is off, and so is one where the embedding does not tell paraphrases from unrelated asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SHIPPED = Path(__file__).with_name("evidence.json")
LEAST_AUC = 0.95
CONFIDENCE = 0.95
MARGIN = 0.05
"""Added to what the pairs say: people's asks are not the pairs. With it 3 of 1,040 other English asks are served,
without it 10 (seen on all pairs, those held out included)."""
LEAST_SERVED = 0.3
"""Below this share of paraphrases served a language is not worth its embedding calls."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured for one embedding model in one language.

    Attributes:
        auc: Of the cosine, paraphrases against unrelated pairs (50 and 50 set aside).
        negatives: Pairs with different answers in the tuning part that were tried: near misses, and each ask with its
            nearest other asks.
        positives: Paraphrases in the tuning part.
        curve: Per threshold: negatives served, positives served, by guard and cosine together.
    """

    auc: float
    negatives: int
    positives: int
    curve: tuple[tuple[float, int, int], ...]


def upper_bound(errors: int, tried: int, confidence: float = CONFIDENCE) -> float:
    """One-sided exact upper bound of a rate (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if errors >= tried else float(beta.ppf(confidence, errors + 1, tried - errors))


def threshold(evidence: Evidence, error: float) -> float | None:
    """The least cosine at which the bound of the share of different asks served is at most ``error``.

    None: there is none at which anything worth it is served, or the embedding does not know the language.
    """
    if evidence.auc < LEAST_AUC:
        return None
    for cosine, wrong, right in evidence.curve:
        if upper_bound(wrong, evidence.negatives) <= error:
            return round(cosine + MARGIN, 2) if right >= LEAST_SERVED * evidence.positives else None
    return None


def why_off(evidence: Evidence, error: float) -> str | None:
    """Why a language is off, in words; None: it is on."""
    if evidence.auc < LEAST_AUC:
        return f"the embedding does not know it (AUC {evidence.auc:.3f}, below {LEAST_AUC})"
    if threshold(evidence, error) is not None:
        return None
    return f"no similarity at which at most {error:g} of different asks and {LEAST_SERVED:.0%} of equal ones are served"


def thresholds(evidence: Mapping[str, Evidence], error: float) -> dict[str, float]:
    """Languages that are on, with their cosine."""
    found = {language: threshold(one, error) for language, one in evidence.items()}
    return {language: cosine for language, cosine in found.items() if cosine is not None}


def read(model: str, *paths: Path) -> dict[str, Evidence]:
    """Evidence of an embedding model by language, from the first file that has it; empty where none has.

    Raises:
        OSError, ValueError, KeyError, TypeError: A file is none of ours.
    """
    for path in paths:
        known = json.loads(path.read_text(encoding="utf-8"))
        if model in known:
            return {
                language: Evidence(**{**one, "curve": tuple(tuple(point) for point in one["curve"])})
                for language, one in known[model].items()
            }
    return {}


def written(model: str, evidence: Mapping[str, Evidence]) -> str:
    """The file's text."""
    return json.dumps({model: {language: asdict(one) for language, one in evidence.items()}}, indent=None) + "\n"
