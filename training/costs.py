"""The cost matrices that training and evaluation use: those of ``configs/two-macs.yaml``.

The formula is `classifier.costs`, which a running service feeds with the prices and speeds of its own chain.
"""

from classifier.costs import STAKES, TWO_MACS, Stakes, TierCost, cost_matrix, matrices

__all__ = ["STAKES", "TWO_MACS", "Stakes", "TierCost", "cost_matrix", "matrices"]
