"""Named, append-only steps that bring a store to the present schema.

A step is never changed once it was released: add another below it. Its statements are written out, not derived from
``schema.py``, which moves on; they are SQL that SQLite and PostgreSQL both take.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, select, text

from service.decisions.schema import migrations

Step = Callable[[Connection], None]

# Any constant does; it only has to be the same in every replica that starts at once.
_ADVISORY_LOCK = 0x6175_746F_7469_6572


class NewerStore(Exception):
    """The store holds steps that this version does not know."""


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(text(statement))


def m001_initial(connection: Connection) -> None:
    """Decisions, attempts, feedback, conversations, settings and runs."""
    _run(
        connection,
        """
        CREATE TABLE decisions (
            id TEXT NOT NULL PRIMARY KEY, created_s DOUBLE PRECISION NOT NULL, caller TEXT NOT NULL,
            surface TEXT NOT NULL, model_asked TEXT NOT NULL, stream BOOLEAN NOT NULL, tier TEXT, reason TEXT,
            confidence DOUBLE PRECISION, displaced TEXT, artifact TEXT, deployment_id TEXT, outcome TEXT NOT NULL,
            status BIGINT NOT NULL, first_token_ms DOUBLE PRECISION, total_ms DOUBLE PRECISION NOT NULL,
            prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE PRECISION NOT NULL, conversation TEXT,
            finish_reason TEXT, decision TEXT NOT NULL, messages TEXT, features TEXT, error TEXT,
            dropped_fields TEXT NOT NULL
        );
        CREATE INDEX decisions_created ON decisions (created_s);
        CREATE INDEX decisions_caller ON decisions (caller, created_s);
        CREATE TABLE attempts (
            decision_id TEXT NOT NULL, "order" BIGINT NOT NULL, deployment_id TEXT NOT NULL, outcome TEXT NOT NULL,
            way TEXT, status BIGINT, detail TEXT NOT NULL, connect_ms DOUBLE PRECISION,
            first_token_ms DOUBLE PRECISION, total_ms DOUBLE PRECISION NOT NULL, prompt_tokens_counted BIGINT,
            prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE PRECISION NOT NULL, served_model TEXT,
            warning TEXT, PRIMARY KEY (decision_id, "order")
        );
        CREATE TABLE feedback (
            decision_id TEXT NOT NULL, number BIGINT NOT NULL, caller TEXT NOT NULL,
            created_s DOUBLE PRECISION NOT NULL, correct_tier TEXT, solved BOOLEAN, rating BIGINT, comment TEXT,
            source TEXT NOT NULL, weight DOUBLE PRECISION NOT NULL, PRIMARY KEY (decision_id, number)
        );
        CREATE INDEX feedback_caller ON feedback (caller);
        CREATE INDEX feedback_created ON feedback (created_s);
        CREATE TABLE conversations (
            key TEXT NOT NULL PRIMARY KEY, caller TEXT NOT NULL, tier TEXT NOT NULL, decision_id TEXT NOT NULL,
            updated_s DOUBLE PRECISION NOT NULL
        );
        CREATE INDEX conversations_caller ON conversations (caller);
        CREATE INDEX conversations_updated ON conversations (updated_s);
        CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE runs (
            id TEXT NOT NULL PRIMARY KEY, started_s DOUBLE PRECISION NOT NULL, written BIGINT NOT NULL,
            dropped BIGINT NOT NULL, ended_s DOUBLE PRECISION, lost BIGINT
        )
        """,
    )


def m002_shadows(connection: Connection) -> None:
    """What a challenger in the shadow said otherwise, and counts of how often it agreed."""
    _run(
        connection,
        """
        CREATE TABLE shadows (
            decision_id TEXT NOT NULL, artifact TEXT NOT NULL, champion TEXT NOT NULL,
            created_s DOUBLE PRECISION NOT NULL, tier TEXT NOT NULL, shadow_tier TEXT NOT NULL,
            probability DOUBLE PRECISION NOT NULL, shadow_probability DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (decision_id, artifact)
        );
        CREATE INDEX shadows_created ON shadows (created_s);
        CREATE TABLE shadow_counts (
            day TEXT NOT NULL, artifact TEXT NOT NULL, champion TEXT NOT NULL, tier TEXT NOT NULL,
            shadow_tier TEXT NOT NULL, number BIGINT NOT NULL,
            PRIMARY KEY (day, artifact, champion, tier, shadow_tier)
        )
        """,
    )


MIGRATIONS: tuple[Step, ...] = (m001_initial, m002_shadows)
"""In the order in which they are applied. Append; never change, remove or reorder."""


def migrate(connection: Connection, now_s: float) -> list[str]:
    """Applies what is missing, inside the caller's transaction.

    Args:
        connection: In a write transaction.
        now_s: Unix seconds, noted beside each step.

    Returns:
        Names of the steps that were applied now.

    Raises:
        NewerStore: A newer version made the store.
    """
    if connection.dialect.name == "postgresql":
        # SQLite's write transaction already excludes others; two replicas may start at once on PostgreSQL.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(name TEXT NOT NULL PRIMARY KEY, applied_s DOUBLE PRECISION NOT NULL)"
        )
    )
    done = pending_of(connection)
    for step in done:
        step(connection)
        connection.execute(insert(migrations).values(name=step.__name__, applied_s=now_s))
    return [step.__name__ for step in done]


def pending_of(connection: Connection) -> list[Step]:
    """The steps that the store still lacks, in order.

    Raises:
        NewerStore: A newer version made the store.
    """
    applied = set(connection.execute(select(migrations.c.name)).scalars())
    unknown = applied - {step.__name__ for step in MIGRATIONS}
    if unknown:
        raise NewerStore(", ".join(sorted(unknown)))
    return [step for step in MIGRATIONS if step.__name__ not in applied]
