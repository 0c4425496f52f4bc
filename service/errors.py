"""Every error that a user of the service can meet, as one tree.

AutotierError
├── ConfigurationError            one line with file, key and fix; exit 2
├── StoreError                    the store of decisions cannot be used; one line with place and fix; exit 2
└── RequestError                  answered in OpenAI's error format
    ├── InvalidRequest            400
    │   ├── UnsupportedField      400  no allowed deployment can express the field
    │   ├── ContextLengthExceeded 400  too long for every allowed deployment
    │   └── ConstraintUnmet       400  a constraint left no deployment
    ├── AuthenticationFailed      401
    ├── TierForbidden             403
    ├── AdminRequired             403  the caller's key has no admin right
    ├── ModelNotFound             404
    ├── RecordNotFound            404
    ├── BodyTooSlow               408
    ├── BodyTooLarge              413
    ├── TooManyRequests           429
    ├── UpstreamRefused           4xx  a deployment says that the request itself is wrong
    ├── DeploymentsFailed         503
    ├── TierEmpty                 503  the tier has no deployment in the configuration
    ├── ShuttingDown              503  the service ends and its time for running answers is over
    ├── StoreUnavailable          503  the store of decisions failed, so feedback or a record cannot be had
    └── DeadlineExceeded          504
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar


class AutotierError(Exception):
    """Root of all errors that autotier raises on purpose."""


class ConfigurationError(AutotierError):
    """A configuration that cannot be used.

    Args:
        file: Path or name of the file as the user gave it.
        key: Dotted path of the key, e.g. ``tiers.coding.deployments[0].host``.
        problem: What is wrong, without the file or key.
        fix: What to write instead.
    """

    def __init__(self, file: str, key: str, problem: str, fix: str) -> None:
        self.file, self.key, self.problem, self.fix = file, key, problem, fix
        super().__init__(f"{file}: {key}: {problem}; {fix}".replace("\n", " "))


class StoreProblem(StrEnum):
    """What keeps a store from working."""

    MISSING = "missing"
    UNOPENABLE = "unopenable"
    READ_ONLY = "read_only"
    FULL = "full"
    LOCKED = "locked"
    CORRUPT = "corrupt"
    NEWER = "newer"
    UNREACHABLE = "unreachable"
    INVALID_ROW = "invalid_row"
    BUSY = "busy"
    FAILED = "failed"


class StoreError(AutotierError):
    """The store of decisions cannot be opened, read or written.

    Args:
        problem: Which kind, for metrics and for what to do next.
        where: File, or address without its password.
        detail: The database's words; never holds a row's content.
        fix: What to do.
    """

    def __init__(self, problem: StoreProblem, where: str, detail: str, fix: str) -> None:
        self.problem, self.where, self.detail, self.fix = problem, where, detail, fix
        super().__init__(f"{where}: {detail}; {fix}".replace("\n", " "))


class RequestError(AutotierError):
    """An error that a client gets in OpenAI's format.

    Args:
        message: Plain sentence for the person who reads it; never holds a secret or a prompt.
        param: Name of the body field at fault, or None.
        attempts: One mapping per attempt (deployment, outcome, ms), in order.
        retry_after_s: Seconds for the ``Retry-After`` header, or None.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        attempts: Sequence[dict[str, Any]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.attempts = tuple(attempts)
        self.retry_after_s = retry_after_s


class InvalidRequest(RequestError):
    """The request cannot be understood or is not allowed."""

    status, type = 400, "invalid_request_error"


class UnsupportedField(InvalidRequest):
    """A field that no allowed deployment can express, or that is not OpenAI's."""

    code = "unsupported_field"


class ContextLengthExceeded(InvalidRequest):
    """The request and the reserve for its answer fit no allowed deployment."""

    code = "context_length_exceeded"


class ConstraintUnmet(InvalidRequest):
    """A constraint (privacy, capability) left no deployment in an explicitly chosen tier."""

    code = "constraint_unmet"


class AuthenticationFailed(RequestError):
    """No key, or none that we know."""

    status, type, code = 401, "authentication_error", "invalid_api_key"


class TierForbidden(RequestError):
    """The caller has no right to the tier that was asked for."""

    status, type, code = 403, "permission_error", "tier_forbidden"


class AdminRequired(RequestError):
    """The caller has no admin right."""

    status, type, code = 403, "permission_error", "admin_required"


class ModelNotFound(RequestError):
    """A model name that is none of ours."""

    status, type, code = 404, "invalid_request_error", "model_not_found"


class RecordNotFound(RequestError):
    """No decision with that id among those that the caller may see."""

    status, type, code = 404, "invalid_request_error", "decision_not_found"


class BodyTooSlow(RequestError):
    """The body did not arrive within ``server.body_s``."""

    status, type, code = 408, "invalid_request_error", "request_timeout"


class BodyTooLarge(RequestError):
    """The body is larger than ``server.max_body_bytes``."""

    status, type, code = 413, "invalid_request_error", "body_too_large"


class TooManyRequests(RequestError):
    """A limit of ours, or a cloud's own 429 at the end of the chain.

    Args:
        message: Which limit, what is used, what to change.
        limit: ``requests``, ``tokens``, ``spend``, ``parallel`` or ``queue`` for a limit of ours.
    """

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(self, message: str, *, limit: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.limit = limit


class UpstreamRefused(RequestError):
    """A deployment answered that the request itself is wrong; another would say the same.

    Args:
        message: What the deployment said.
        status: Its status, 400 to 499.
        code: Its error code, or None.
    """

    type = "invalid_request_error"

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.status = status  # type: ignore[misc]  # the one leaf whose status is the upstream's
        self.code = code  # type: ignore[misc]


class DeploymentsFailed(RequestError):
    """Every deployment of the chain failed; the message names each attempt."""

    status, type, code = 503, "server_error", "all_deployments_failed"


class TierEmpty(RequestError):
    """The tier is written as an empty list; the message says which key or host would fill it."""

    status, type, code = 503, "server_error", "tier_empty"


class ShuttingDown(RequestError):
    """The service was told to end, and ``server.shutdown_s`` is over."""

    status, type, code = 503, "server_error", "shutting_down"


class StoreUnavailable(RequestError):
    """The store of decisions failed: the feedback was not kept, or the record cannot be read now."""

    status, type, code = 503, "server_error", "store_unavailable"


class DeadlineExceeded(RequestError):
    """The tier's limit to the first token, or the cap of the answer, ran out."""

    status, type, code = 504, "server_error", "deadline_exceeded"


def error_body(error: RequestError) -> dict[str, Any]:
    """OpenAI's error object for ``error``, with the attempts beside it where there were any."""
    inner: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if error.attempts:
        inner["attempts"] = list(error.attempts)
    return {"error": inner}
