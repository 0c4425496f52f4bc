"""Quantised weights of the second stage: what is packed comes out again."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.deep import BLOCK, build_tokenizer, read_part, unpack_rows, view_tokens
from classifier.prompt import view_of
from training.deep_base import repack
from training.deep_graph import Packed, pack8


def q4_blocks(values: np.ndarray, scale: float) -> bytes:
    """Blocks as llama.cpp's Q4_0 lays them out: scale, then 16 bytes with weight j low and weight j + 16 high."""
    raw = b""
    for block in values.reshape(-1, BLOCK):
        raw += np.float16(scale).tobytes() + bytes((block[:16] | (block[16:] << 4)).astype(np.uint8))
    return raw


def test_published_blocks_are_taken_over_without_loss() -> None:
    """Repacked 4-bit weights have the values that the published layout means."""
    values = np.random.default_rng(0).integers(0, 16, (3, 2 * BLOCK))

    data, scales = repack(q4_blocks(values, 0.5), rows=3)

    expected = (values - 8) * 0.5
    assert Packed(data, scales.astype(np.float32), 4).dense() == pytest.approx(expected)
    assert unpack_rows(data.reshape(3, -1), scales) == pytest.approx(expected)


def test_eight_bits_are_within_half_a_step() -> None:
    """Rounding to 8 bits moves a weight by at most half the step of its block."""
    weights = np.random.default_rng(1).normal(size=(4, 384)).astype(np.float32)

    packed = pack8(weights)

    step = np.repeat(packed.scales, 128, axis=1)
    assert (np.abs(packed.dense() - weights) <= step / 2 + 1e-7).all()


def test_tokens_are_bounded_and_survive_odd_text() -> None:
    """A megabyte, a lone surrogate and an empty ask all give a short list that begins and ends as the encoder
    wants."""
    pytest.importorskip("tokenizers")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "b", "\u2581a"]
    tokenizer = build_tokenizer(pieces, [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -2.0, -1.5])

    for text in ("a b " * 300_000, "\ud800 a", ""):
        ids = view_tokens(tokenizer, view_of(text))

        assert len(ids) <= 212
        assert ids[0] == 0
        assert ids[-1] == 2


def test_the_part_that_is_read_gives_the_same_tokens() -> None:
    """A long ask with a long paste and long asks before it: some kilobytes are kept, no token changes."""
    pytest.importorskip("tokenizers")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "b", "\u2581a"]
    tokenizer = build_tokenizer(pieces, [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -2.0, -1.5])
    paste = "```\n" + "b a b\n" * 3_000 + "```"
    messages = [{"role": "user", "content": f"{'ab ' * 900}{n}"} for n in range(3)]
    view = view_of([*messages, {"role": "user", "content": f"{'a b ' * 700}:\n{paste}"}], tools=[{}])

    part = read_part(view)

    assert view_tokens(tokenizer, part) == view_tokens(tokenizer, view)
    assert read_part(part) == part
    assert len(part.ask) + len(part.pasted) + sum(map(len, part.previous)) < 3_000
