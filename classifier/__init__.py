"""The inner room: text in, calibrated tier probabilities out. No service, no litellm, no network.

>>> import classifier
>>> classifier.load().classify("What is a closure in JavaScript?").tier
<Tier.LIGHTWEIGHT: 'lightweight'>
"""

from classifier.artifact import ArtifactError
from classifier.explain import Feature
from classifier.model import Classification, Classifier, load
from classifier.policy import Matrix, as_matrix, choose
from classifier.prompt import PromptView, view_of
from classifier.tiers import TIERS, Tier

__all__ = [
    "TIERS",
    "ArtifactError",
    "Classification",
    "Classifier",
    "Feature",
    "Matrix",
    "PromptView",
    "Tier",
    "as_matrix",
    "choose",
    "load",
    "view_of",
]
