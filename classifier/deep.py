"""The second stage: a small multilingual transformer, served with onnxruntime and tokenizers (extra `deep`).

Twelve layers of multilingual-e5-small (Wang et al. 2024, "Multilingual E5 Text Embeddings"; MIT). The lower
layers are as
published, at 4 bits; the upper ones were fine-tuned on tier labels and are kept at 8 bits; the vocabulary is
cut to what our
languages need. Word vectors are gathered here, at 4 bits, so that a call touches only the rows of its own tokens.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.prompt import PromptView, bounded

GRAPH = "deep.onnx"
EMBEDDINGS = "deep_embeddings.npz"
VOCABULARY = "deep_vocabulary.json"
DEEP_FILES = (GRAPH, EMBEDDINGS, VOCABULARY)

ASK_TOKENS = (80, 48)
PASTE_TOKENS = (36, 16)
PREVIOUS_TOKENS = 28
"""Head and tail, in tokens, of what is read of the ask, the pasted material, and the ask before: at most 212
in all."""

ASK_CHARACTERS, PASTE_CHARACTERS, PREVIOUS_CHARACTERS = (1_000, 700), (500, 300), (300, 100)
"""Head and tail, in characters, that the tokenizer is given of each of them."""

BLOCK = 32
"""Weights that share one scale."""

_START, _END, _UNKNOWN = 0, 2, 3
_BLANK = r"[\s\u200b-\u200f]+"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"

Floats = NDArray[np.float32]


def installed() -> bool:
    """Whether the packages of the extra `deep` can be imported; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnxruntime", "tokenizers"))


def unpack_rows(packed: NDArray[np.uint8], scales: NDArray[Any]) -> Floats:
    """Rows of 4-bit weights as floats.

    Args:
        packed: (n, width / 2); each byte holds an even column in its low half and the odd one behind it in its
            high half.
        scales: (n, width / BLOCK), one scale for each block; a weight is (value - 8) * scale.

    Returns:
        (n, width) float32.
    """
    values = np.empty((packed.shape[0], packed.shape[1] * 2), dtype=np.float32)
    values[:, 0::2] = packed & 15
    values[:, 1::2] = packed >> 4
    values -= 8.0
    result: Floats = values * np.repeat(scales.astype(np.float32), BLOCK, axis=1)
    return result


def build_tokenizer(pieces: list[str], scores: list[float]) -> Any:
    """The unigram tokenizer (Kudo 2018) of the encoder, from its pieces and their log probabilities."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=_UNKNOWN, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(_CONTROL), ""),
            normalizers.Replace(Regex(_BLANK), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    return tokenizer


def _cut(ids: list[int], head: int, tail: int) -> list[int]:
    return ids if len(ids) <= head + tail else ids[:head] + ids[-tail:]


def view_tokens(tokenizer: Any, view: PromptView) -> list[int]:
    """What the encoder reads of a view: the ask, then head and tail of the paste, then the ask before.

    Args:
        tokenizer: From `build_tokenizer`.
        view: The prompt view.

    Returns:
        At most 212 token ids. Bounded: the tokenizer never sees more than 3,000 characters.
    """

    def encode(text: str, head: int, tail: int) -> list[int]:
        short = bounded(text, head, tail)
        # A surrogate on its own is no text to the tokenizer, which would refuse it.
        ids: list[int] = tokenizer.encode(short.encode("utf-8", "replace").decode("utf-8")).ids if short else []
        return ids

    ids = [_START, *_cut(encode(view.ask, *ASK_CHARACTERS), *ASK_TOKENS), _END]
    if view.pasted:
        ids += [*_cut(encode(view.pasted, *PASTE_CHARACTERS), *PASTE_TOKENS), _END]
    if view.previous:
        ids += [*encode(view.previous[0], *PREVIOUS_CHARACTERS)[:PREVIOUS_TOKENS], _END]
    return ids


def read_part(view: PromptView) -> PromptView:
    """A view with no more text than `view_tokens` reads of it: it gives the same tokens in some 3 KB."""
    return replace(
        view, ask=bounded(view.ask, *ASK_CHARACTERS), pasted=bounded(view.pasted, *PASTE_CHARACTERS),
        previous=tuple(bounded(one, *PREVIOUS_CHARACTERS) for one in view.previous[:1]), answer="", system="",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeepStage:
    """The loaded second stage; safe to share between threads.

    Attributes:
        tokenizer: The encoder's tokenizer.
        session: The onnxruntime session; input `x` (1, tokens, width), output `logits` (1, 3).
        packed: (vocabulary, width / 2) uint8 word vectors.
        scales: (vocabulary, width / BLOCK) their scales.
        positions: (longest, width) position vectors.
    """

    tokenizer: Any
    session: Any
    packed: NDArray[np.uint8]
    scales: NDArray[np.float16]
    positions: Floats

    def tokens(self, view: PromptView) -> list[int]:
        """Token ids of a view, never more than there are positions."""
        return view_tokens(self.tokenizer, view)[: self.positions.shape[0]]

    def logits(self, view: PromptView) -> NDArray[np.float64]:
        """Uncalibrated log-odds of the three tiers, (3,)."""
        ids = np.array(self.tokens(view))
        x = unpack_rows(self.packed[ids], self.scales[ids]) + self.positions[: ids.size]
        return np.asarray(self.session.run(["logits"], {"x": x[None]})[0][0], dtype=np.float64)


def load_deep(path: Path, threads: int = 2) -> DeepStage:
    """Load the second stage of an artifact whose hashes were checked.

    Args:
        path: The artifact folder.
        threads: Threads of one call.

    Returns:
        The stage.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is malformed.
    """
    import onnxruntime

    vocabulary = json.loads((path / VOCABULARY).read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A pool that spins between calls would burn a core of the machine that also serves the requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path / GRAPH), options, providers=["CPUExecutionProvider"])
    with np.load(path / EMBEDDINGS, allow_pickle=False) as arrays:
        packed, scales = arrays["packed"], arrays["scales"]
        positions = arrays["positions"].astype(np.float32)
    tokenizer = build_tokenizer(vocabulary["pieces"], vocabulary["scores"])
    return DeepStage(tokenizer, session, packed, scales, positions)
