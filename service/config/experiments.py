"""The section ``experiments``: which arms there are. What runs is said by `autotier experiment start | stop`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from classifier import Tier
from service.config.strict import Identifier, Strict


class ArmSettings(Strict):
    """One arm of an experiment."""

    name: Identifier = Field(description="Name in records and reports; unique in the experiment.")
    share: float = Field(gt=0, le=1, description="Share of units that get this arm; all shares add up to 1.")
    kind: Literal["routed", "fixed", "random", "matrix", "artifact"] = Field(
        description="routed: as without an experiment; fixed: always `tier`; random: any tier, each as likely; "
        "matrix: the classifier under another cost matrix; artifact: another classifier."
    )
    tier: Tier | None = Field(default=None, description="With `fixed`: the tier.")
    matrix: Literal["default", "eco", "quality"] | None = Field(default=None, description="With `matrix`: which one.")
    artifact: str | None = Field(default=None, description="With `artifact`: its folder.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed = {"fixed": "tier", "matrix": "matrix", "artifact": "artifact"}.get(self.kind)
        for name in ("tier", "matrix", "artifact"):
            given = getattr(self, name) is not None
            if given and name != needed:
                raise ValueError(f"{name}: an arm of kind {self.kind} has none; leave it out")
            if not given and name == needed:
                raise ValueError(f"{name}: an arm of kind {self.kind} needs one")
        return self


class Guardrails(Strict):
    """What stops an arm; null never does."""

    after_requests: int = Field(default=50, gt=0, description="Requests of an arm before errors and latency count.")
    errors: float | None = Field(default=0.1, gt=0, le=1, description="Share of failed or cut answers.")
    latency_p95_s: float | None = Field(default=None, gt=0, description="95th percentile of seconds to the last token.")
    usd: float | None = Field(default=None, gt=0, description="US dollars that the arm may spend.")


class ExperimentSettings(Strict):
    """An online experiment."""

    name: Identifier = Field(description="Name in records, reports and `autotier experiment start NAME`.")
    unit: Literal["conversation", "caller"] = Field(
        default="conversation", description="What gets one arm as a whole, by a stable hash."
    )
    arms: tuple[ArmSettings, ...] = Field(min_length=2, description="Two arms or more.")
    minimum_units: int = Field(
        default=200, ge=30, description="Units with an outcome before the report draws a conclusion."
    )
    guardrails: Guardrails = Field(default=Guardrails(), description="What stops an arm.")

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(arm.share for arm in self.arms) - 1) > 1e-6:
            raise ValueError(f"arms: the shares add up to {sum(arm.share for arm in self.arms):g}, not to 1")
        if len({arm.name for arm in self.arms}) != len(self.arms):
            raise ValueError("arms: two arms share a name; names are unique")
        return self
