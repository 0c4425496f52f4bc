"""The encoder in torch, for fine-tuning only: the upper layers learn, the lower ones are run once and remembered.

torch is imported where this module is; `training` imports it only when a second stage is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from classifier.deep import unpack_rows
from training.deep_base import FROZEN_LAYERS, LAYERS, Base
from training.deep_graph import EPSILON, HEADS, PRODUCTS, WIDTH, Floats, Packed, pack8

LAYER_DROP = 0.1
"""Chance that a row skips a feed-forward block in training: regularises at a fraction of dropout's cost on a CPU."""

Tensor: TypeAlias = Any
"""torch is not installed where types are checked."""


class Layer(nn.Module):  # type: ignore[misc]  # torch is not there for mypy
    """One transformer layer of the encoder (post-norm, GELU)."""

    def __init__(self) -> None:
        """A layer with random weights; `fill` gives it the published ones."""
        super().__init__()
        for name, (inputs, outputs) in PRODUCTS.items():
            self.add_module(name, nn.Linear(inputs, outputs))
        self.aln, self.oln = nn.LayerNorm(WIDTH, eps=EPSILON), nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(batch, tokens, width) through the layer; `valid` (batch, tokens) is False on padding."""
        batch, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)

        # Written out: on CPUs the backward pass of the fused attention is several times slower [measured].
        scores = heads(self.q(x)) * (WIDTH // HEADS) ** -0.5 @ heads(self.k(x)).transpose(-1, -2)
        weights = torch.softmax(scores.masked_fill(~valid[:, None, None, :], -1e4), dim=-1)
        mixed = (weights @ heads(self.v(x))).transpose(1, 2).reshape(batch, length, WIDTH)
        x = self.aln(x + self.ao(mixed))
        h = self.fo(functional.gelu(self.fi(x)))
        if self.training:
            h = h * ((torch.rand(batch, 1, 1) > LAYER_DROP).to(h.dtype) / (1 - LAYER_DROP))
        result: Tensor = self.oln(x + h)
        return result

    def fill(self, base: Base, number: int) -> Layer:
        """Take the published weights of a layer."""
        for name in PRODUCTS:
            module = self.get_submodule(name)
            module.weight.data = torch.from_numpy(base.packed[f"l{number}.{name}.w"].dense().copy())
            module.bias.data = torch.from_numpy(np.array(base.plain[f"l{number}.{name}.b"]))
        for name in ("aln", "oln"):
            module = self.get_submodule(name)
            module.weight.data = torch.from_numpy(np.array(base.plain[f"l{number}.{name}.w"]))
            module.bias.data = torch.from_numpy(np.array(base.plain[f"l{number}.{name}.b"]))
        return self


class Lower(nn.Module):  # type: ignore[misc]  # torch is not there for mypy
    """Word vectors and the layers that stay as published."""

    def __init__(self, base: Base) -> None:
        """From the published weights."""
        super().__init__()
        words = unpack_rows(base.words.reshape(base.words.shape[0], -1), base.word_scales)
        self.words = torch.from_numpy(words)
        self.positions = torch.from_numpy(base.positions.astype(np.float32))
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.norm.weight.data = torch.from_numpy(np.array(base.plain["emb.ln.w"]))
        self.norm.bias.data = torch.from_numpy(np.array(base.plain["emb.ln.b"]))
        self.layers = nn.ModuleList(Layer().fill(base, i) for i in range(FROZEN_LAYERS))

    def forward(self, ids: Tensor, valid: Tensor) -> Tensor:
        """(batch, tokens) ids to (batch, tokens, width)."""
        x = self.norm(self.words[ids] + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, valid)
        return x


class Upper(nn.Module):  # type: ignore[misc]  # torch is not there for mypy
    """The layers that learn, and the head over mean and first token."""

    def __init__(self, base: Base) -> None:
        """From the encoder's weights; the head near zero where the encoder has none."""
        super().__init__()
        self.layers = nn.ModuleList(Layer().fill(base, i) for i in range(FROZEN_LAYERS, LAYERS))
        self.head = nn.Linear(2 * WIDTH, 3)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        if "head.w" in base.plain:
            self.head.weight.data = torch.from_numpy(np.array(base.plain["head.w"]))
            self.head.bias.data = torch.from_numpy(np.array(base.plain["head.b"]))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(batch, tokens, width) of the lower part to (batch, 3) log-odds."""
        for layer in self.layers:
            x = layer(x, valid)
        mask = valid[:, :, None].to(x.dtype)
        pooled = torch.cat(((x * mask).sum(1) / mask.sum(1), x[:, 0]), dim=-1).float()
        result: Tensor = self.head(functional.dropout(pooled, 0.1, self.training))
        return result

    def exported(self) -> tuple[dict[str, Packed], dict[str, Floats]]:
        """Quantised matrices and plain vectors for `training.deep_graph.write_graph`."""
        packed: dict[str, Packed] = {}
        plain: dict[str, Floats] = {"head.w": _array(self.head.weight), "head.b": _array(self.head.bias)}
        for number, layer in enumerate(self.layers, FROZEN_LAYERS):
            for name in PRODUCTS:
                module = layer.get_submodule(name)
                packed[f"l{number}.{name}.w"] = pack8(_array(module.weight))
                plain[f"l{number}.{name}.b"] = _array(module.bias)
            for name in ("aln", "oln"):
                module = layer.get_submodule(name)
                plain[f"l{number}.{name}.w"], plain[f"l{number}.{name}.b"] = _array(module.weight), _array(module.bias)
        return packed, plain


def _array(tensor: Any) -> Floats:
    return np.asarray(tensor.detach().numpy(), dtype=np.float32)


def lower_states(base: Base, ids: Sequence[Sequence[int]], batch: int = 64) -> list[Tensor]:
    """Outputs of the lower layers for every row, in bfloat16, without padding.

    Args:
        base: The encoder.
        ids: Token ids by row.
        batch: Rows of one pass; rows of like length go together.

    Returns:
        (tokens, width) bfloat16 by row.
    """
    lower = Lower(base).eval()
    lengths = np.array([len(i) for i in ids])
    order = np.argsort(lengths, kind="stable")
    states: list[Tensor] = [torch.empty(0)] * len(ids)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, order.size, batch):
            rows = order[start : start + batch]
            valid = valid_mask(lengths[rows])
            padded = torch.ones(valid.shape, dtype=torch.long)
            for k, row in enumerate(rows):
                padded[k, : lengths[row]] = torch.tensor(ids[row])
            out = lower(padded, valid).to(torch.bfloat16)
            for k, row in enumerate(rows):
                states[row] = out[k, : lengths[row]].clone()
    return states


def valid_mask(lengths: NDArray[np.intp]) -> Tensor:
    """(batch, longest) True where a row has a token."""
    return torch.arange(int(lengths.max()))[None] < torch.from_numpy(lengths)[:, None]


def padded_states(states: Sequence[Tensor], rows: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
    """A batch of remembered states: (batch, longest, width) bfloat16 and its mask."""
    lengths = np.array([states[row].shape[0] for row in rows])
    batch = torch.zeros(rows.size, int(lengths.max()), WIDTH, dtype=torch.bfloat16)
    for k, row in enumerate(rows):
        batch[k, : lengths[k]] = states[row]
    return batch, valid_mask(lengths)


def state_arrays(module: nn.Module) -> Mapping[str, NDArray[Any]]:
    """Weights of a module as arrays, for tests."""
    return {k: v.numpy() for k, v in module.state_dict().items()}
