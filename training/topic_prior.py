"""The subject prior as a baseline: what kind of thing is this about, and which tier did such things need elsewhere?

Real prompts name no subject, so topics are found: words of the first stage's hashed features, brought down to a few
directions (latent semantic analysis), in clusters. Words, directions, clusters and their tiers are all fitted without
the source that is predicted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.features import BLOCK_STARTS, FeatureRow
from training.first_stage import hashed_matrix
from training.split import held_out

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

TOPICS, LEAST_ROWS, DIRECTIONS = 40, 20, 50
"""Most topics, rows that a topic must have on average, directions that words are brought down to."""


def topic_prior(
    features: Sequence[FeatureRow], true: NDArray[np.intp], weights: Floats, groups: NDArray[Any], seed: int
) -> Floats:
    """Tier shares of the topic of each row, among the rows of other sources.

    Args:
        features: Features of n requests.
        true: (n,) tier positions.
        weights: (n,) row weights.
        groups: (n,) sources.
        seed: Of directions and clusters.

    Returns:
        (n, 3) probabilities.
    """
    words = hashed_matrix(features)[:, : BLOCK_STARTS[1]]
    found = np.zeros((true.size, 3))
    for _, train, test in held_out(groups.tolist()):
        topic = _topics(words, train, seed)
        tiers = np.eye(3)[true[train]] * weights[train, None]
        prior = tiers.sum(axis=0) / weights[train].sum()
        # One row's worth of what all topics have in common, for topics of few rows.
        shares = np.array([tiers[topic[train] == k].sum(axis=0) for k in range(topic.max() + 1)]) + prior
        found[test] = (shares / shares.sum(axis=1, keepdims=True))[topic[test]]
    return found


def _topics(words: csr_matrix, train: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """(n,) topic of every row, by directions and clusters of the training rows alone."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.extmath import randomized_svd

    # Words of a single row say nothing about a topic, and a thousand columns take a fraction of the time of all.
    used = np.flatnonzero(np.bincount(words[train].indices, minlength=words.shape[1]) > 1)
    if not used.size:
        return np.zeros(words.shape[0], dtype=np.intp)  # nothing in common: one topic
    known = words[:, used]
    directions = max(1, min(DIRECTIONS, train.size - 1, used.size))
    place = known @ randomized_svd(known[train], directions, random_state=seed)[2].T
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-12)
    clusters = KMeans(max(1, min(TOPICS, train.size // LEAST_ROWS)), n_init=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer kinds of texts than topics: then there are fewer
        clusters.fit(place[train])
    return np.asarray(clusters.predict(place), dtype=np.intp)
