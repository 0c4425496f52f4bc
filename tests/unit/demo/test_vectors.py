"""Deterministic embeddings."""

from __future__ import annotations

import base64
import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from service.demo.hosts.vectors import embed, packed, vector


def cosine(first: str, second: str) -> float:
    """Give the cosine of two texts' vectors, which have length 1."""
    return sum(a * b for a, b in zip(embed(first, 768), embed(second, 768), strict=True))


def test_similar_texts_are_more_similar_than_others() -> None:
    """A paraphrase with shared words beats an unrelated text."""
    question = "How do I reverse a list in Python?"

    assert (
        cosine(question, "How can I reverse a Python list?")
        > 0.6
        > 0.3
        > cosine(question, "Bake the bread at 220 degrees")
    )


@given(st.text(max_size=100), st.integers(1, 64))
def test_any_text_gives_a_unit_vector(text: str, dimensions: int) -> None:
    """Length as asked for, norm 1, twice the same."""
    vector = embed(text, dimensions)

    assert len(vector) == dimensions
    assert math.isclose(math.sqrt(sum(value * value for value in vector)), 1.0, rel_tol=1e-9)
    assert vector == embed(text, dimensions)


def test_packed_vectors_are_little_endian_floats() -> None:
    """The form that the official client unpacks."""
    assert struct.unpack("<2f", base64.b64decode(packed([0.5, -1.0]))) == (0.5, -1.0)


def test_the_noise_model_tells_nothing_of_a_text() -> None:
    """The same text has the same vector; one letter more makes another one."""
    question = "How do I reverse a list in Python?"

    one, again, other = (vector("noise-embed:latest", text, 64) for text in (question, question, question + "?"))

    assert one == again
    assert abs(sum(a * b for a, b in zip(one, other, strict=True))) < 0.5
    assert math.isclose(math.sqrt(sum(value * value for value in one)), 1.0, rel_tol=1e-9)
    assert vector("nomic-embed-text", question, 64) == embed(question, 64)
