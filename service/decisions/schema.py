"""The tables as SQLAlchemy sees them. What makes them is ``migrations.py``; a test holds the two together.

JSON columns are text that orjson wrote: the same bytes in SQLite and PostgreSQL, no parsing on the way in. Times are
Unix seconds, durations milliseconds, money US dollars.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text

metadata = MetaData()

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_s", Double, nullable=False),
    Column("caller", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("tier", Text),
    Column("reason", Text),
    Column("confidence", Double),
    Column("displaced", Text),
    Column("artifact", Text),
    Column("deployment_id", Text),
    Column("outcome", Text, nullable=False),
    Column("status", BigInteger, nullable=False),
    Column("first_token_ms", Double),
    Column("total_ms", Double, nullable=False),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cost_usd", Double, nullable=False),
    Column("conversation", Text),
    Column("finish_reason", Text),
    Column("decision", Text, nullable=False),
    Column("messages", Text),
    Column("features", Text),
    Column("error", Text),
    Column("dropped_fields", Text, nullable=False),
    Index("decisions_created", "created_s"),
    Index("decisions_caller", "caller", "created_s"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("order", BigInteger, primary_key=True),
    Column("deployment_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("way", Text),
    Column("status", BigInteger),
    Column("detail", Text, nullable=False),
    Column("connect_ms", Double),
    Column("first_token_ms", Double),
    Column("total_ms", Double, nullable=False),
    Column("prompt_tokens_counted", BigInteger),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cost_usd", Double, nullable=False),
    Column("served_model", Text),
    Column("warning", Text),
)

# No foreign key to decisions: feedback is durable at once, the decision it speaks of may die with its batch.
feedback = Table(
    "feedback",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("caller", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("correct_tier", Text),
    Column("solved", Boolean),
    Column("rating", BigInteger),
    Column("comment", Text),
    Column("source", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Index("feedback_caller", "caller"),
    Index("feedback_created", "created_s"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("caller", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("updated_s", Double, nullable=False),
    Index("conversations_caller", "caller"),
    Index("conversations_updated", "updated_s"),
)

# What a challenger in the shadow said otherwise, and how often the two agreed. No foreign keys: it is written apart.
shadows = Table(
    "shadows",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("artifact", Text, primary_key=True),
    Column("champion", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("tier", Text, nullable=False),
    Column("shadow_tier", Text, nullable=False),
    Column("probability", Double, nullable=False),
    Column("shadow_probability", Double, nullable=False),
    Index("shadows_created", "created_s"),
)

shadow_counts = Table(
    "shadow_counts",
    metadata,
    Column("day", Text, primary_key=True),
    Column("artifact", Text, primary_key=True),
    Column("champion", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("shadow_tier", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row per process that wrote: what it wrote, so that the next one can say what a killed one lost.
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_s", Double, nullable=False),
    Column("written", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("ended_s", Double),
    Column("lost", BigInteger),
)

migrations = Table(
    "migrations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("applied_s", Double, nullable=False),
)
