"""The section ``learning``: what is concluded behind the answers, and how much of it may enter training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from service.config.strict import Strict


class ImplicitLabel(Strict):
    """A kind of label that is concluded from what a caller did next."""

    weight: float = Field(gt=0, le=1, description="Weight of one such label in training; a said one has 1.")


def _off(value: Any) -> Any:
    """YAML reads a bare off as false."""
    return "off" if value is False else value


Implicit = Annotated[ImplicitLabel | Literal["off"], BeforeValidator(_off)]


class ImplicitSettings(Strict):
    """Labels that nobody said, each with a weight, or `off`.

    The weights say how often such a conclusion is right, by how much else may explain it: none was measured on your
    traffic, so all together stay below what one person says.
    """

    override: Implicit = Field(
        default=ImplicitLabel(weight=0.7),
        description="The same ask again with a named tier, after `auto` had chosen another: that tier was right.",
    )
    regeneration: Implicit = Field(
        default=ImplicitLabel(weight=0.3),
        description="Another answer to the same messages was asked for: one tier up. It may have been taste.",
    )
    re_ask: Implicit = Field(
        default=ImplicitLabel(weight=0.1),
        description="The same ask with words added or taken away within minutes: one tier up.",
    )
    escalation: Implicit = Field(
        default=ImplicitLabel(weight=0.2),
        description="The next turn of a conversation named a higher tier, or a follow-up needed one: one up.",
    )
    truncated: Implicit = Field(
        default=ImplicitLabel(weight=0.1),
        description="The answer ended at the host's limit of tokens, not at the client's: one tier up.",
    )
    empty: Implicit = Field(
        default=ImplicitLabel(weight=0.1),
        description="A deployment of the tier gave an empty answer: one tier up. It may have been the host.",
    )
    ended: Implicit = Field(
        default=ImplicitLabel(weight=0.03),
        description="A conversation ended after the answer: its tier is confirmed. The person may just have left.",
    )

    def weight_of(self, source: str) -> float:
        """Weight of a source, 0 where it is off or none of ours."""
        label = getattr(self, source, "off") if source in type(self).model_fields else "off"
        return label.weight if isinstance(label, ImplicitLabel) else 0.0


class Learning(Strict):
    """What becomes a label, and when."""

    implicit: ImplicitSettings = Field(
        default=ImplicitSettings(), description="Labels that are concluded; each has a weight, or is off."
    )
    within_s: float = Field(
        default=600, gt=0, description="Seconds within which the same ask counts as the same asked again."
    )
    settle_s: float = Field(
        default=960,
        gt=0,
        description="Age of a request at which conclusions are drawn from it; the longest answer takes 15 minutes.",
    )
    ended_after_s: float = Field(
        default=1800, gt=0, description="Seconds of silence after which a conversation has ended."
    )
    every_s: float = Field(default=30, gt=0, description="Seconds between two looks at what was logged.")
    drift_every_s: float = Field(
        default=3600, gt=0, description="Seconds between two comparisons of the traffic with the training data."
    )
    most_weight_per_caller_day: float = Field(
        default=200,
        gt=0,
        description="Most weight that one caller's labels of one day (UTC) have in training together; all of them are "
        "scaled down beyond it. A person who labels all day manages some 200.",
    )
