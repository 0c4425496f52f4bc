"""What an examination finds: one line each, with what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How serious a finding is; only ``FAILED`` makes the command fail."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: Host or part, e.g. ``mini``, ``store``.
        check: What was looked at, e.g. ``reachable``, ``model qwen3:8b``.
        text: What was found; never holds a secret.
        fix: What to do, or None where nothing needs doing.
    """

    subject: str
    check: str
    status: Status
    text: str
    fix: str | None = None

    def public(self) -> dict[str, str | None]:
        """The form of ``--json``."""
        return {
            "subject": self.subject,
            "check": self.check,
            "status": str(self.status),
            "text": self.text,
            "fix": self.fix,
        }


def shown(findings: Iterable[Finding]) -> str:
    """The findings as text, grouped by subject, with a sum at the end."""
    lines: list[str] = []
    counts = dict.fromkeys(Status, 0)
    subject = ""
    for finding in findings:
        counts[finding.status] += 1
        if finding.subject != subject:
            subject = finding.subject
            lines += ["", subject] if lines else [subject]
        word = finding.status.upper() if finding.status is Status.FAILED else str(finding.status)
        lines.append(f"  {word:<8} {finding.check}: {finding.text}")
        if finding.fix:
            lines.append(f"           -> {finding.fix}")
    failed, warnings = counts[Status.FAILED], counts[Status.WARNING]
    lines += ["", "Nothing is wrong." if not failed + warnings else f"{failed} failed, {warnings} warnings."]
    return "\n".join(lines)
