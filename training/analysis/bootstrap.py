"""The paired, clustered bootstrap: whole clusters are drawn again, and every arm sees the same draw.

Intervals are expanded percentiles (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3):
plain percentiles are too narrow by the factor that Student's t corrects, which matters where clusters are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

CELLS = 4_000_000
"""Draws of clusters that are held in memory at once (32 MB)."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """Draws of clusters, the same ones however often they are asked for.

    Attributes:
        cluster: (n,) cluster number of each row, from 0 without gaps.
        clusters: Number of clusters.
        times: Number of draws.
        seed: Of the draws.
    """

    cluster: Ints
    clusters: int
    times: int
    seed: int

    @classmethod
    def of(cls, groups: Sequence[str], times: int = 1_000, seed: int = 0) -> Resampling:
        """Draws for rows with group names.

        Args:
            groups: Group of each row; "" is a cluster of its own. One group for all rows counts as none, since
                nothing can be drawn from one cluster.
            times: Draws.
            seed: Of the draws.
        """
        names = [name or f"\0{number}" for number, name in enumerate(groups)]
        if len(set(names)) < 2:
            names = [str(number) for number in range(len(names))]
        unique, cluster = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
        return cls(cluster.astype(np.intp).reshape(-1), int(unique.size), times, seed)

    def counts(self) -> Iterator[Floats]:
        """Portions (b, clusters) of how often each cluster was drawn; b sums to ``times`` over all portions."""
        random = np.random.default_rng(self.seed)
        portion = max(1, CELLS // max(1, self.clusters))
        for start in range(0, self.times, portion):
            size = min(portion, self.times - start)
            drawn = random.integers(0, self.clusters, (size, self.clusters))
            # Counting draws is ten times as fast as drawing multinomial counts.
            drawn += np.arange(size)[:, None] * self.clusters
            counted = np.bincount(drawn.reshape(-1), minlength=size * self.clusters)
            yield counted.reshape(size, self.clusters).astype(np.float64)

    def sums(self, columns: Floats) -> Floats:
        """Sums of columns over each draw.

        Args:
            columns: (n, k) values by row.

        Returns:
            (times, k).
        """
        by_cluster = np.zeros((self.clusters, columns.shape[1]))
        np.add.at(by_cluster, self.cluster, columns)
        return np.concatenate([counts @ by_cluster for counts in self.counts()])

    def quantiles(self, values: Floats, weights: Floats, rows: Ints, levels: Sequence[float]) -> Floats:
        """Weighted quantiles of each draw.

        Args:
            values: (m,) finite values.
            weights: (m,) weights of the values, >= 0.
            rows: (m,) row of each value.
            levels: Quantile levels, 0 to 1.

        Returns:
            (times, levels).
        """
        order = np.argsort(values, kind="stable")
        sorted_values, base, cluster = values[order], weights[order], self.cluster[rows[order]]
        found: list[Floats] = []
        step = max(1, CELLS // max(1, values.size))
        for counts in self.counts():
            for start in range(0, counts.shape[0], step):
                mass = np.cumsum(counts[start : start + step][:, cluster] * base, axis=1)
                wanted = mass[:, -1:] * np.asarray(levels)
                # A draw whose mass is 0 (no row of this arm in it) takes the first value; it is one in e^m draws.
                places = np.stack([(mass < wanted[:, i : i + 1]).sum(axis=1) for i in range(len(levels))], axis=1)
                found.append(sorted_values[np.minimum(places, values.size - 1)])
        return np.concatenate(found)


def interval(draws: Floats, clusters: int, level: float = 0.95) -> tuple[float, float] | None:
    """Expanded percentile interval of resampled figures.

    Args:
        draws: (times,) figures; those that are not finite are set aside.
        clusters: Number of clusters that were drawn from.
        level: Coverage, 0 to 1.

    Returns:
        (low, high), or None where a tenth or more of the draws gave no figure.
    """
    finite = draws[np.isfinite(draws)]
    if finite.size <= 0.9 * draws.size or clusters < 2:
        return None
    tail = expanded_tail(clusters, level)
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def expanded_tail(clusters: int, level: float) -> float:
    """Tail of the percentiles, so that a mean of ``clusters`` values gets the width of Student's t."""
    from scipy.special import stdtrit  # a tenth of a second to import: only where an interval is made

    t = float(stdtrit(clusters - 1, (1 + level) / 2))
    return NormalDist().cdf(-t * float(np.sqrt(clusters / (clusters - 1))))
