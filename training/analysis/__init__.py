"""What a router is worth: arms, paired bootstrap intervals, the curve of cost against quality, the verdict.

numpy alone at import. The same code analyses a labelled file, an outcome table, the log and an online experiment.
"""

from training.analysis.arms import Arm, Outcomes, arms_of, oracle_tiers
from training.analysis.bootstrap import Resampling, interval
from training.analysis.curves import CostPoint, cost_curve, need_curve
from training.analysis.figures import FIGURES, Figures, figures_of
from training.analysis.verdict import Dominated, dominated_tiers, verdict

__all__ = [
    "FIGURES",
    "Arm",
    "CostPoint",
    "Dominated",
    "Figures",
    "Outcomes",
    "Resampling",
    "arms_of",
    "cost_curve",
    "dominated_tiers",
    "figures_of",
    "interval",
    "need_curve",
    "oracle_tiers",
    "verdict",
]
