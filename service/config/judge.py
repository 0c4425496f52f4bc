"""The key ``classifier.judge``: a local deployment that is asked where the classifier is unsure."""

from __future__ import annotations

from pydantic import Field

from service.config.strict import Identifier, Strict


class JudgeSettings(Strict):
    """Who is asked for a tier, when, for how long, and how far its word is trusted."""

    deployment: Identifier = Field(description="Id of the local deployment that is asked.")
    bound: float = Field(
        default=0.03,
        ge=0,
        lt=1,
        description="It is asked where the expected cost of the decision is above this share of the matrix's greatest.",
    )
    deadline_ms: int = Field(
        default=1500, gt=0, description="Longest wait for its word; then the classifier's own stands."
    )
    accuracy: float = Field(
        default=0.8,
        ge=0.34,
        le=0.99,
        description="How often its word is right; `autotier evaluate --judge` measures it. A die has a third.",
    )
