"""An entry of ``classifier.embeddings``: an embedding model whose vectors may be among what the classifier reads."""

from __future__ import annotations

from pydantic import Field

from service.config.cache import EmbeddingSettings


class ClassifierEmbedding(EmbeddingSettings):
    """Host and model, and how long a request waits for them."""

    host: str = Field(description="Name of an entry of `hosts`.")
    model: str = Field(description="The model's name at the host, e.g. nomic-embed-text.")
    deadline_ms: int = Field(
        default=150, gt=0, description="Longest wait for a vector; then the stages decide without it."
    )
    prefix: str = Field(
        default="",
        max_length=200,
        description="What the model wants before each text, e.g. `classification: ` for nomic-embed-text.",
    )
