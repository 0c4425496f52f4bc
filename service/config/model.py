"""What a configuration holds, key by key.

The models are strict (unknown keys are errors) and frozen: a reload builds a new object. Units stand in the names.
Defaults and their sources are given beside each key; the same words make the JSON schema.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from classifier import TIERS, Tier
from service.config.cache import CacheSettings
from service.config.embedding import ClassifierEmbedding
from service.config.experiments import ExperimentSettings
from service.config.host import Host
from service.config.judge import JudgeSettings
from service.config.learning import Learning
from service.config.strict import Address, CallerKey, Identifier, Matrix, RedisUrl, Strict


class Capabilities(Strict):
    """What a deployment can do. A request that needs more removes the deployment."""

    tools: bool = Field(default=True, description="Function calling.")
    images: bool = Field(default=False, description="Image parts in messages.")
    json_schema: bool = Field(default=True, description="response_format with a JSON schema.")
    fields: tuple[str, ...] | None = Field(
        default=None,
        description="OpenAI body fields that the host honours; null takes the list known for the provider.",
    )


class Prices(Strict):
    """US dollars per million tokens; 0 for machines of your own."""

    input_per_mtok: float = Field(default=0.0, ge=0, description="US dollars per million prompt tokens.")
    output_per_mtok: float = Field(
        default=0.0, ge=0, description="US dollars per million answer tokens, hidden thinking included."
    )


class Deployment(Strict):
    """One model at one host, inside one tier's group."""

    id: Identifier = Field(description="Name in records, headers and logs; unique in the file.")
    host: str = Field(description="Name of an entry of `hosts`.")
    provider: str = Field(
        description="`ollama`, `openai` (any OpenAI-compatible host), or a provider of litellm such as `anthropic`.",
    )
    model: str = Field(description="The model's name at the host.")
    address: Address | None = Field(default=None, description="Base URL where it differs from the host's.")
    key: SecretStr | None = Field(default=None, description="API key where it differs from the host's.")
    local: bool | None = Field(default=None, description="Null takes the host's.")
    context: int = Field(gt=0, description="Tokens that the host really serves, prompt and answer together.")
    parallel: int = Field(default=0, ge=0, description="Requests at once; 0: no limit. One full slot passes on.")
    tokens_per_s: float = Field(default=30.0, gt=0, description="Speed of answers, for the cost of waiting.")
    prices: Prices = Field(default=Prices(), description="What its tokens cost; nothing for machines of your own.")
    capabilities: Capabilities = Field(
        default=Capabilities(), description="What it can do; a request that needs more skips it."
    )
    extra_fields: tuple[str, ...] = Field(
        default=(), description="Body fields outside OpenAI's that clients may send to this deployment."
    )
    served_as: tuple[str, ...] = Field(
        default=(), description="Other model names that the host may answer with and that count as this model."
    )
    think: bool | None = Field(default=None, description="Ollama's thinking switch; null leaves the model's own.")
    keep_alive: str | None = Field(default=None, description="Ollama: how long the model stays loaded, e.g. 30m.")
    keep_warm: bool = Field(
        default=False,
        description="Ollama: load the model again before it would leave the memory, unless another would have to go.",
    )
    add: dict[str, Any] = Field(default={}, description="Body fields that we add to every request to it.")


class TierSettings(Strict):
    """One tier: its ordered deployments and its limit."""

    first_token_s: float = Field(gt=0, description="Seconds to the first token over the whole chain.")
    fallbacks: tuple[Tier, ...] = Field(
        default=(), description="Tiers whose chains follow when this one is used up; only upwards."
    )
    deployments: tuple[Deployment, ...] = Field(
        description="In the order in which they are tried. A tier without any is written as [].",
    )


class Tiers(Strict):
    """The three tiers."""

    lightweight: TierSettings = Field(description="Facts, short rewrites, one small function: an 8B model is enough.")
    coding: TierSettings = Field(description="Real construction along a known way: a 30B coder.")
    reasoning: TierSettings = Field(description="Design, trade-offs, proofs: a frontier model. Never a local one.")

    def __getitem__(self, tier: Tier) -> TierSettings:
        settings: TierSettings = getattr(self, tier.value)
        return settings


class Limits(Strict):
    """Times and counts that hold for every tier (DESIGN: "Limits" and "Context")."""

    connect_ms: int = Field(default=300, gt=0, description="Pre-flight connection, name resolution included.")
    remember_failed_s: float = Field(default=15.0, ge=0, description="How long a failed pre-flight is believed.")
    cooldown_s: float = Field(default=15.0, ge=0, description="Rest of a deployment after one failure.")
    loaded_attempt_s: float = Field(default=8.0, gt=0, description="First token of a local model seen loaded.")
    cold_attempt_s: float = Field(default=45.0, gt=0, description="First token of a local model that must load.")
    cold_extra_s: float = Field(default=37.0, ge=0, description="What a cold attempt adds to the tier's limit.")
    between_tokens_s: float = Field(default=30.0, gt=0, description="Longest pause inside an answer.")
    answer_cap_s: float = Field(default=900.0, gt=0, description="Longest answer.")
    host_status_ms: int = Field(default=1000, gt=0, description="Ollama's /api/ps; unanswered is a failed pre-flight.")
    host_status_remember_s: float = Field(default=5.0, ge=0, description="How long loaded/cold is believed.")
    probe_every_s: float = Field(
        default=1.0, gt=0, le=3, description="Seconds between two rounds of the background prober."
    )
    hedge_after_ms: int | None = Field(
        default=None,
        gt=0,
        description="No first token after so long: a second host with the same model is asked too; null: never.",
    )
    answer_reserve_tokens: int = Field(default=1024, gt=0, description="Reserve where the client sends no max_tokens.")
    token_margin: float = Field(default=1.1, ge=1, description="Factor on our count, for other tokenizers.")


class Queue(Strict):
    """The bounded queue in front of the chain."""

    most: int = Field(default=512, ge=0, description="Requests that may wait; more are a 429 at once. 0: none waits.")
    wait_s: float = Field(default=10.0, gt=0, description="Seconds that one waits at most; then a 429.")


class Server(Strict):
    """Where the service listens and what it reads."""

    host: str = Field(default="127.0.0.1", description="Address to bind. Anything but loopback needs a caller key.")
    port: int = Field(default=4000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    max_body_bytes: int = Field(default=16 * 1024 * 1024, gt=0, description="Largest request body; more is a 413.")
    max_messages: int = Field(default=2000, gt=0, description="Most messages in one request.")
    max_depth: int = Field(default=64, gt=0, description="Nesting of the JSON body.")
    most_running: int = Field(default=512, gt=0, description="Requests at work at once; the next ones wait in `queue`.")
    queue: Queue = Field(default=Queue(), description="Where requests wait for their turn.")
    header_s: float = Field(default=10.0, gt=0, description="Seconds for a request's headers to arrive.")
    body_s: float = Field(default=30.0, gt=0, description="Seconds for a request's body to arrive; then a 408.")
    slow_client_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds for which a client may take nothing of its stream before it is cut off.",
    )
    drain_s: float = Field(
        default=0.0, ge=0, description="Seconds between SIGTERM, when /readyz turns 503, and the end of listening."
    )
    shutdown_s: float = Field(
        default=30.0, ge=0, description="Seconds that running answers have to finish; then they are told why they end."
    )


class CallerLimits(Strict):
    """What one caller may use; null is no limit. Beyond it: 429 with Retry-After."""

    requests_per_minute: int | None = Field(default=None, gt=0, description="Requests in any minute.")
    tokens_per_minute: int | None = Field(
        default=None, gt=0, description="Prompt and answer tokens in any minute; estimated before, corrected after."
    )
    parallel: int | None = Field(default=None, gt=0, description="Requests at work at once.")
    usd_per_day: float | None = Field(
        default=None, gt=0, description="US dollars a day (UTC). Once spent, local answers are refused as well."
    )

    def over(self, default: CallerLimits) -> CallerLimits:
        """These limits, with those of ``default`` where a key was not written here (null is written)."""
        return default.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Caller(Strict):
    """Somebody who may ask, with a key."""

    name: Identifier = Field(description="Name in records; unique.")
    key: CallerKey = Field(description="As os.environ/NAME, or the key's sha256 as sha256:HEX.")
    tiers: tuple[Tier, ...] = Field(default=TIERS, description="Tiers that this caller may reach.")
    override: bool = Field(default=True, description="May name a tier.")
    admin: bool = Field(default=False, description="May see everybody's decisions and metrics, and reload.")
    limits: CallerLimits = Field(
        default=CallerLimits(), description="What this caller may use; keys left out are those of `caller_limits`."
    )


class Privacy(Strict):
    """Detectors whose hit keeps a request on local deployments."""

    keys: bool = Field(default=True, description="API keys, private keys, tokens.")
    cards: bool = Field(default=True, description="Payment card numbers (Luhn-checked).")
    emails: bool = Field(default=False, description="E-mail addresses.")


class Policy(Strict):
    """How probabilities become a tier."""

    matrices: dict[Literal["default", "eco", "quality"], Matrix] = Field(
        default={},
        description="Cost-of-error matrices; what is not given is computed from the chain's prices and speeds.",
    )
    escalate_on_retry: bool = Field(default=True, description="A regeneration or a rejected answer goes one tier up.")
    step_down_confidence: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Probability at which a new ask may leave its conversation's tier downwards; "
        "more where it may continue what went before.",
    )
    regeneration_s: float = Field(
        default=120.0, ge=0, description="Window in which the same messages are a regeneration."
    )
    privacy: Privacy = Field(default=Privacy(), description="What keeps a request on local deployments.")


class Store(Strict):
    """Where decisions are kept."""

    url: str = Field(
        default="sqlite:///autotier.sqlite3",
        description="sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME for a fleet, written as os.environ/NAME.",
    )
    prompts: Literal["full", "features", "none"] = Field(
        default="features",
        description="What is kept of a prompt: its text, the hashed features that retraining needs, or nothing.",
    )
    flush_ms: int = Field(default=500, gt=0, description="Longest time that a record waits for its batch.")


class State(Strict):
    """What replicas and workers share. Without a Redis it is each process's own."""

    redis_url: RedisUrl | None = Field(
        default=None,
        description="redis://HOST:6379/0, rediss:// with TLS, or unix:///PATH; with a password written as "
        "os.environ/NAME; null: each process alone.",
    )
    prefix: Identifier = Field(
        default="autotier",
        description="First part of every Redis key; another one for another fleet on the same Redis.",
    )
    timeout_ms: int = Field(
        default=50, gt=0, description="Most milliseconds that the Redis may add to a request; then it goes on alone."
    )


class ClassifierSettings(Strict):
    """Which classifier decides."""

    artifact: str | None = Field(default=None, description="Folder of the artifact; null: the one that is shipped.")
    versions: str = Field(
        default="autotier-versions",
        min_length=1,
        description="Folder of the versions that `autotier train` writes, beside the configuration. What `autotier "
        "promote` let serve is named there, and goes before `artifact`.",
    )
    stages: Literal[1, 2] | None = Field(
        default=None, description="1: the first stage only; 2: with the second; null: all that are installed."
    )
    shadow: str | None = Field(
        default=None,
        description="Folder of a challenger that judges live traffic behind the answers, and decides nothing.",
    )
    time_limit_ms: int = Field(
        default=1000,
        gt=0,
        description="After this the first stage decides alone; where it is late too: `coding`, reason `degraded`.",
    )
    judge: JudgeSettings | None = Field(
        default=None, description="A local deployment that is asked where the classifier is unsure; null: nobody is."
    )
    embeddings: dict[Identifier, ClassifierEmbedding] = Field(
        default={}, description="Embedding models for `autotier train --embedding NAME`, by a name of yours."
    )

    def loads_as(self, other: ClassifierSettings) -> bool:
        """Whether the same classifier is loaded for both: whom it asks is no part of it."""
        asked: dict[str, Any] = {"judge": None, "embeddings": {}}
        return self.model_copy(update=asked) == other.model_copy(update=asked)


class UpstreamSettings(Strict):
    """How requests leave."""

    way: Literal["auto", "router"] = Field(
        default="auto", description="auto: the lean way where the provider allows; router: litellm's Router for all."
    )
    on_stream_death: Literal["error", "continue"] = Field(
        default="error",
        description="A stream that dies ends with an error, or the next deployment of the tier continues it.",
    )


class Configuration(Strict):
    """A whole configuration file."""

    server: Server = Field(default=Server(), description="Where the service listens and what it accepts.")
    callers: tuple[Caller, ...] = Field(
        default=(), description="Who may ask, each with a key. None: everybody on this machine, and only loopback."
    )
    callers_file: str | None = Field(
        default=None,
        description="File with more callers, written by `autotier keys`, relative to this one; read again if changed.",
    )
    caller_limits: CallerLimits = Field(default=CallerLimits(), description="What each caller may use.")
    hosts: dict[Identifier, Host] = Field(description="Machines and cloud accounts, by a name of yours.")
    tiers: Tiers = Field(description="The three tiers, each with its deployments in the order in which they are tried.")
    limits: Limits = Field(default=Limits(), description="Times and counts that hold for every tier.")
    policy: Policy = Field(default=Policy(), description="How probabilities become a tier.")
    classifier: ClassifierSettings = Field(default=ClassifierSettings(), description="Which classifier decides.")
    upstream: UpstreamSettings = Field(default=UpstreamSettings(), description="How requests leave.")
    cache: CacheSettings = Field(default=CacheSettings(), description="Answers that are kept for equal requests.")
    store: Store = Field(default=Store(), description="Where decisions are kept.")
    state: State = Field(default=State(), description="What replicas and workers share.")
    experiments: tuple[ExperimentSettings, ...] = Field(
        default=(), description="Online experiments; `autotier experiment start NAME` starts one of them."
    )
    learning: Learning = Field(default=Learning(), description="What becomes a label, and how much it counts.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Cross-checks; each message starts with the dotted key that is at fault."""
        seen: set[str] = set()
        for tier in TIERS:
            settings = self.tiers[tier]
            if any(TIERS.index(f) <= TIERS.index(tier) for f in settings.fallbacks):
                raise ValueError(f"tiers.{tier}.fallbacks: leads down or to itself; name only tiers above {tier}")
            for number, deployment in enumerate(settings.deployments):
                key = f"tiers.{tier}.deployments[{number}]"
                if deployment.host not in self.hosts:
                    known = ", ".join(self.hosts) or "none"
                    raise ValueError(f"{key}.host: no host is named {deployment.host!r}; write one of: {known}")
                if deployment.id in seen:
                    raise ValueError(f"{key}.id: {deployment.id!r} is there twice; ids are unique in the file")
                seen.add(deployment.id)
                if tier is Tier.REASONING and self.is_local(deployment):
                    raise ValueError(
                        f"{key}.local: a local deployment in the reasoning tier; move it to coding, "
                        "or leave the tier empty with deployments: []"
                    )
        asked = {"cache.semantic.embedding": self.cache.semantic.embedding} | {
            f"classifier.embeddings.{name}": one for name, one in self.classifier.embeddings.items()
        }
        for key, embedding in asked.items():
            if embedding is not None and embedding.host is not None and embedding.host not in self.hosts:
                known = ", ".join(self.hosts) or "none"
                raise ValueError(f"{key}.host: no host is named {embedding.host!r}; write one of: {known}")
        verify = self.cache.verify
        if verify is not None and verify.judge not in seen:
            known = ", ".join(sorted(seen)) or "none"
            raise ValueError(f"cache.verify.judge: no deployment is {verify.judge!r}; write one of: {known}")
        self._check_readers(seen)
        if len({e.name for e in self.experiments}) != len(self.experiments):
            raise ValueError("experiments: two experiments share a name; names are unique")
        if len({c.name for c in self.callers}) != len(self.callers):
            raise ValueError("callers: two callers share a name; names are unique")
        return self

    def _check_readers(self, ids: set[str]) -> None:
        """The classifier's judge and embeddings read any request, so they stand in the house, where there is one."""
        at_home = {d.id for _, d in self.deployments() if self.is_local(d)}
        for name, embedding in self.classifier.embeddings.items():
            if at_home and not self.hosts[embedding.host].local:
                outside = f"{embedding.host!r} is not local, and an embedding reads what must stay in the house"
                known = ", ".join(host for host, one in self.hosts.items() if one.local) or "none is local"
                raise ValueError(f"classifier.embeddings.{name}.host: {outside}; write one of: {known}")
        if self.classifier.judge is None:
            return
        asked = self.classifier.judge.deployment
        if asked not in at_home:
            known = ", ".join(sorted(at_home)) or "none is local: write null"
            outside = f"{asked!r} is not local, and the judge reads what must stay in the house"
            problem = outside if asked in ids else f"no deployment is {asked!r}"
            raise ValueError(f"classifier.judge.deployment: {problem}; write one of: {known}")

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a caller's key is refused."""
        return bool(self.callers) or self.callers_file is not None

    def is_local(self, deployment: Deployment) -> bool:
        """Whether ``deployment`` stands in the house: its own word, else its host's."""
        return self.hosts[deployment.host].local if deployment.local is None else deployment.local

    def address_of(self, deployment: Deployment) -> str:
        """Base URL of ``deployment`` without a trailing slash."""
        return (deployment.address or self.hosts[deployment.host].address).rstrip("/")

    def key_of(self, deployment: Deployment) -> str | None:
        """The key in clear for the wire, or None. Never log it."""
        secret = deployment.key or self.hosts[deployment.host].key
        return secret.get_secret_value() if secret else None

    def deployments(self) -> tuple[tuple[Tier, Deployment], ...]:
        """All deployments with their tiers, in order."""
        return tuple((tier, d) for tier in TIERS for d in self.tiers[tier].deployments)
