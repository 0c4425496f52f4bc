"""The life of a request up to its chain, top to bottom: look, needs, choosers, constraints, decision.

``decide`` is all that a dry run needs; what happens upstream and afterwards is ``service.api``'s walk through
``service.upstream`` and ``service.decisions``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from classifier import Tier
from classifier.hold import goes_on_with
from service.config import Configuration, Deployment
from service.errors import ConstraintUnmet, ContextLengthExceeded, TierEmpty, TierForbidden, UnsupportedField
from service.routing.assignment import Assigner, Assignment
from service.routing.choosers import Choice, Situation, choose
from service.routing.constraints import Allowed, Constraints, Needs, needs_of
from service.routing.conversation import (
    ConversationStore,
    Hold,
    RecentRequests,
    RecentStore,
    is_regeneration,
    last_answer,
)
from service.routing.decision import Reason, Removed, RouteDecision
from service.routing.embedding import Embedded
from service.routing.fields import check_names
from service.routing.judge import Judge
from service.routing.look import Look, Looker
from service.routing.request import ChatRequest
from service.routing.tokens import measure

HISTORY_ASKS = 6
"""User turns of an unknown history that are classified again, newest first."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A choice after the constraints."""

    choice: Choice
    allowed: Allowed
    displaced: Tier | None = None


@dataclass(frozen=True, slots=True)
class _Before:
    """What was found out about a request before its tier was settled."""

    recomputed: bool
    is_regeneration: bool
    tokens_at_least: int
    assignment: Assignment | None
    hold: Hold | None


class Flow:
    """Decides requests over one configuration.

    Args:
        configuration: The running configuration.
        looker: Looks at the text.
        holds: Where conversations' tiers are kept.
        now_s: Wall clock, Unix seconds.
        recent: Where requests of the last seconds are kept; None: in this process.
        experiments: Deals requests to the arms of a running experiment; None: there are none.
        judge: Asks somebody else where the classifier is unsure; None: nobody is asked.
        embedded: Asks for the vectors that the artifact was trained with; None: it was trained without.
    """

    def __init__(
        self,
        configuration: Configuration,
        looker: Looker,
        holds: ConversationStore,
        now_s: Callable[[], float],
        recent: RecentStore | None = None,
        experiments: Assigner | None = None,
        judge: Judge | None = None,
        embedded: Embedded | None = None,
    ) -> None:
        self._configuration = configuration
        self._looker = looker
        self._holds = holds
        self._now_s = now_s
        self._constraints = Constraints(configuration)
        self._recent: RecentStore = recent or RecentRequests(configuration.policy.regeneration_s)
        self._experiments = experiments
        self._judge = judge
        self._embedded = embedded
        self._extra_fields = frozenset(f for _, d in configuration.deployments() for f in d.extra_fields)

    async def decide(self, request: ChatRequest, *, dry_run: bool = False) -> RouteDecision:
        """The route decision of a request.

        Args:
            request: Checked request.
            dry_run: Leaves no trace: the request is not remembered as asked.

        Raises:
            RequestError: A field, a right or a constraint leaves nothing that may serve.
        """
        check_names(request.body, self._extra_fields)
        look = await self._looker.look(request)
        if self._embedded is not None:
            look = await self._embedded.heard(request, look, self._looker.matrix_of(request))
        needs, at_least = await self._needs(request, look)
        hold, recomputed = await self._hold(request, look)
        now_s = self._now_s()
        before = await self._recent.tier_of(look.same_request, now_s)
        regenerated = before if before is not None and is_regeneration(request) else None
        assignment = None
        if self._experiments is not None:
            assignment = await self._experiments.assign(request, look.view, look.classification)
        choice = self._choose(request, look, hold, regenerated, before, assignment)
        if self._judge is not None and choice.reason is Reason.CLASSIFIER and assignment is None:
            # Not in an experiment: its log must say what the artifact by itself would have done.
            look = await self._judge.judged(request, look, self._looker.matrix_of(request))
            choice = self._choose(request, look, hold, regenerated, before, assignment)
        settled = self._settle(choice, request, needs)
        if not dry_run:
            self._recent.remember(look.same_request, settled.allowed.tier, now_s)
        before_it = _Before(recomputed, regenerated is not None, at_least, assignment, hold)
        return self._decision(look, needs, settled, before_it)

    async def _needs(self, request: ChatRequest, look: Look) -> tuple[Needs, int]:
        """What the request needs, and a lower bound of its tokens."""
        reserve = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
        reserve = reserve if isinstance(reserve, int) else self._configuration.limits.answer_reserve_tokens
        counted = await measure(request.body, self._constraints.room(reserve))
        needs = needs_of(request.body, request.caller, tokens=counted.tokens, reserve=reserve, private=look.private)
        return needs, counted.at_least

    async def _hold(self, request: ChatRequest, look: Look) -> tuple[Hold | None, bool]:
        """The conversation's hold, from the store or computed again from the history; and whether it was the latter."""
        if look.conversation is None:
            return None, False
        held = await self._holds.hold(look.conversation)
        last = last_answer(request.messages)
        if held is not None:
            return Hold(Tier(held.tier), held.decision_id, held.rejected), False
        if last is None:
            return None, False
        tier = self._recomputed_tier(request, last)
        return (Hold(tier, decision_id=""), True) if tier else (None, True)

    def _recomputed_tier(self, request: ChatRequest, last: int) -> Tier | None:
        """Tier that the history up to its last answer would have had: its asks one after the other, as if held."""
        users = [i for i in range(last) if request.messages[i].get("role") == "user"][-HISTORY_ASKS:]
        held: Tier | None = None
        step_down = self._configuration.policy.step_down_confidence
        for position in users:
            spoken = self._looker.classifier.classify(request.messages[: position + 1])
            if spoken.signal:
                held = goes_on_with(held, spoken, step_down)
        return held

    def _choose(
        self,
        request: ChatRequest,
        look: Look,
        hold: Hold | None,
        regenerated: Tier | None,
        before: Tier | None,
        assignment: Assignment | None,
    ) -> Choice:
        if request.override is None and before is not None and regenerated is None and hold is None:
            return Choice(before, Reason.CONVERSATION, f"the same request a moment ago had {before}")
        policy = self._configuration.policy
        return choose(
            Situation(
                override=request.override,
                view=look.view,
                classification=look.classification,
                hold=hold,
                regenerated=regenerated,
                escalate=policy.escalate_on_retry,
                step_down_confidence=policy.step_down_confidence,
                assignment=assignment,
            )
        )

    def _settle(self, choice: Choice, request: ChatRequest, needs: Needs) -> Settled:
        """Applies the constraints to the chosen tier, and moves where they allow a move."""
        allowed = self._constraints.of_tier(choice.tier, needs)
        if allowed.deployments:
            return Settled(choice, allowed)
        if choice.tier not in needs.caller.tiers:
            raise TierForbidden(f"caller {needs.caller.name!r} may not reach the tier {choice.tier}")
        explicit = request.override is not None
        unwritten = not self._configuration.tiers[choice.tier].deployments
        if unwritten and (explicit or (choice.tier is Tier.REASONING and not needs.private)):
            raise TierEmpty(_empty(choice.tier))
        moved = self._moved_up(choice, allowed, needs, explicit) or self._kept_home(choice, needs, explicit)
        if moved is None:
            raise _unmet(choice.tier, allowed, needs)
        return moved

    def _moved_up(self, choice: Choice, allowed: Allowed, needs: Needs, explicit: bool) -> Settled | None:
        """The nearest tier above with a deployment left; an explicit tier moves by context only."""
        if explicit and not (allowed.removed and allowed.only(Reason.CONTEXT)):
            return None
        reason = _strongest(allowed.removed)
        for tier in self._constraints.above(choice.tier):
            upper = self._constraints.of_tier(tier, needs)
            if upper.deployments:
                detail = f"{choice.tier} has no deployment for it: {_first(allowed.removed)}"
                return Settled(Choice(tier, reason, detail), upper, displaced=choice.tier)
            if tier not in needs.caller.tiers:
                raise TierForbidden(f"caller {needs.caller.name!r} may not reach the tier {tier}, which it would need")
        return None

    def _kept_home(self, choice: Choice, needs: Needs, explicit: bool) -> Settled | None:
        """A private request takes the highest tier below that has a local deployment left."""
        if explicit or not needs.private:
            return None
        for tier in self._constraints.below(choice.tier):
            lower = self._constraints.of_tier(tier, needs)
            if lower.deployments:
                detail = f"private ({needs.private}): {choice.tier} has no local deployment"
                return Settled(Choice(tier, Reason.PRIVACY, detail), lower, displaced=choice.tier)
        return None

    def _decision(self, look: Look, needs: Needs, settled: Settled, before_it: _Before) -> RouteDecision:
        tier = settled.allowed.tier
        spoken = look.classification
        confidence = 1.0 if settled.choice.reason is Reason.OVERRIDE else spoken.probabilities[tier] if spoken else None
        return RouteDecision(
            tier=tier,
            reason=settled.choice.reason,
            confidence=confidence,
            chain=(*settled.allowed.deployments, *self._fallbacks(tier, needs)),
            stand_ins=self._constraints.local_above(tier, needs),
            removed=settled.allowed.removed,
            displaced=settled.displaced,
            classification=spoken,
            detail=settled.choice.detail,
            conversation=look.conversation,
            tokens=needs.tokens,
            private=needs.private,
            view=look.view,
            recomputed=before_it.recomputed,
            is_regeneration=before_it.is_regeneration,
            tokens_at_least=before_it.tokens_at_least,
            assignment=before_it.assignment,
            follows=before_it.hold.decision_id or None if before_it.hold else None,
        )

    def _fallbacks(self, tier: Tier, needs: Needs) -> tuple[Deployment, ...]:
        """Deployments of the tiers that ``fallbacks`` names, in that order: always upwards (checked at load)."""
        tiers = self._configuration.tiers[tier].fallbacks
        return tuple(d for upper in tiers for d in self._constraints.of_tier(upper, needs).deployments)


def _strongest(removed: tuple[Removed, ...]) -> Reason:
    """The reason that a move names: privacy before capability before context."""
    found = {r.constraint for r in removed}
    order = (Reason.PRIVACY, Reason.CAPABILITY, Reason.CONTEXT)
    return next((reason for reason in order if reason in found), Reason.CAPABILITY)


def _first(removed: tuple[Removed, ...]) -> str:
    return f"{removed[0].constraint}, {removed[0].detail}" if removed else "the configuration gives it none"


def _empty(tier: Tier) -> str:
    what = (
        "set a cloud key (OPENAI_API_KEY or ANTHROPIC_API_KEY) and start again, or add a cloud deployment"
        if tier is Tier.REASONING
        else "add a deployment"
    )
    return f"the tier {tier} has no deployment in the configuration; {what} under tiers.{tier}.deployments"


def _unmet(tier: Tier, allowed: Allowed, needs: Needs) -> Exception:
    """The 400 that names the constraint."""
    by = {r.constraint: r for r in allowed.removed}
    if needs.private and Reason.PRIVACY in by:
        return ConstraintUnmet(
            f"privacy ({needs.private}): the request stays on local deployments, and {tier} has none that may serve it"
        )
    if Reason.CAPABILITY in by:
        lacking = by[Reason.CAPABILITY].detail
        return UnsupportedField(f"{lacking}: no allowed deployment can express it", param=lacking.split(":")[0])
    if Reason.CONTEXT in by:
        return ContextLengthExceeded(
            f"about {needs.tokens} tokens and {needs.reserve} for the answer: too long for every allowed deployment",
            param="messages",
        )
    return ConstraintUnmet(f"no deployment of {tier} may serve this request")
