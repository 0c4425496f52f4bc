"""The encoder as an ONNX graph, written node by node: quantised weights go in as they are, nothing is traced.

Matrix products are `com.microsoft.MatMulNBits`: published layers at their own 4 bits without loss, fine-tuned
ones rounded to 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 384
HEADS = 12
INNER = 1_536
EPSILON = 1e-12
INT8 = 4
"""`accuracy_level` of MatMulNBits: activations are rounded to 8 bits, twice as fast on short prompts [measured]."""
PRODUCTS = {
    "q": (WIDTH, WIDTH),
    "k": (WIDTH, WIDTH),
    "v": (WIDTH, WIDTH),
    "ao": (WIDTH, WIDTH),
    "fi": (WIDTH, INNER),
    "fo": (INNER, WIDTH),
}
"""Products of a layer: (inputs, outputs)."""

BLOCK8 = 128
"""Weights that share one scale at 8 bits."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Packed:
    """A quantised matrix: (outputs, inputs) in blocks along the inputs.

    Attributes:
        data: (outputs, blocks, block * bits / 8) uint8; 4 bits: even column low, odd column high.
        scales: (outputs, blocks) float32.
        bits: 4 or 8.
    """

    data: NDArray[np.uint8]
    scales: Floats
    bits: int

    def dense(self) -> Floats:
        """(outputs, inputs) float32."""
        if self.bits == 8:
            values = self.data.astype(np.float32) - 128.0
        else:
            values = np.stack((self.data & 15, self.data >> 4), axis=-1).reshape(*self.data.shape[:2], -1)
            values = values.astype(np.float32) - 8.0
        result: Floats = (values * self.scales[:, :, None]).reshape(self.data.shape[0], -1)
        return result


def pack8(weights: Floats) -> Packed:
    """Round a matrix to 8 bits with one scale for each `BLOCK8` weights."""
    blocks = weights.reshape(weights.shape[0], -1, BLOCK8)
    scales = np.maximum(np.abs(blocks).max(axis=2) / 127.0, 1e-10).astype(np.float32)
    data = (np.rint(blocks / scales[:, :, None]) + 128).astype(np.uint8)
    return Packed(data, scales, 8)


@dataclass(slots=True)
class _Graph:
    """Nodes and initializers while the graph grows."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        domain = "com.microsoft" if kind in ("MatMulNBits", "Gelu") else ""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def product(self, x: str, name: str, weight: Packed, bias: Floats) -> str:
        block = weight.data.shape[2] * 8 // weight.bits
        k, n = weight.data.shape[1] * block, weight.data.shape[0]
        data = self.constant(f"{name}.data", weight.data)
        scales = self.constant(f"{name}.scales", weight.scales.reshape(-1))
        y = self.node(
            "MatMulNBits",
            [x, data, scales],
            f"{name}.y",
            K=k,
            N=n,
            bits=weight.bits,
            block_size=block,
            accuracy_level=INT8,
        )
        return self.node("Add", [y, self.constant(f"{name}.bias", bias)], f"{name}.out")

    def norm(self, x: str, name: str, weight: Floats, bias: Floats) -> str:
        names = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.node("LayerNormalization", names, f"{name}.out", axis=-1, epsilon=EPSILON)


def _attention(g: _Graph, x: str, p: str, packed: Mapping[str, Packed], plain: Mapping[str, Floats]) -> str:
    split = []
    for name, order in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3))):
        y = g.product(x, f"{p}.{name}", packed[f"{p}.{name}.w"], plain[f"{p}.{name}.b"])
        y = g.node("Reshape", [y, "heads"], f"{p}.{name}.heads")
        split.append(g.node("Transpose", [y], f"{p}.{name}.t", perm=list(order)))
    scores = g.node("Mul", [g.node("MatMul", split[:2], f"{p}.qk"), "root"], f"{p}.scaled")
    mixed = g.node("MatMul", [g.node("Softmax", [scores], f"{p}.soft", axis=-1), split[2]], f"{p}.mixed")
    flat = g.node("Reshape", [g.node("Transpose", [mixed], f"{p}.back", perm=[0, 2, 1, 3]), "flat"], f"{p}.flat")
    return g.product(flat, f"{p}.ao", packed[f"{p}.ao.w"], plain[f"{p}.ao.b"])


def _layer(g: _Graph, x: str, p: str, packed: Mapping[str, Packed], plain: Mapping[str, Floats]) -> str:
    a = g.node("Add", [x, _attention(g, x, p, packed, plain)], f"{p}.sum1")
    x = g.norm(a, f"{p}.aln", plain[f"{p}.aln.w"], plain[f"{p}.aln.b"])
    h = g.product(x, f"{p}.fi", packed[f"{p}.fi.w"], plain[f"{p}.fi.b"])
    h = g.product(g.node("Gelu", [h], f"{p}.gelu"), f"{p}.fo", packed[f"{p}.fo.w"], plain[f"{p}.fo.b"])
    return g.norm(g.node("Add", [x, h], f"{p}.sum2"), f"{p}.oln", plain[f"{p}.oln.w"], plain[f"{p}.oln.b"])


def write_graph(path: Path, packed: Mapping[str, Packed], plain: Mapping[str, Floats], layers: int) -> None:
    """Write the graph: embeddings of one request in, log-odds out.

    Args:
        path: File to write.
        packed: Quantised matrices, `l0.q.w` and so on.
        plain: Vectors (`l0.q.b`, norms, `emb.ln.w`, ...), and the head: `head.w` (3, 2 * WIDTH), `head.b` (3,).
        layers: Number of layers.
    """
    from onnx import TensorProto, helper, save_model

    g = _Graph()
    g.constant("heads", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
    g.constant("flat", np.array([0, 0, WIDTH], np.int64))
    g.constant("root", np.array((WIDTH // HEADS) ** -0.5, np.float32))
    x = g.norm("x", "emb.ln", plain["emb.ln.w"], plain["emb.ln.b"])
    for number in range(layers):
        x = _layer(g, x, f"l{number}", packed, plain)
    mean = g.node("ReduceMean", [x, g.constant("axis", np.array([1], np.int64))], "mean", keepdims=0)
    first = g.node("Gather", [x, g.constant("zero", np.array(0, np.int64))], "first", axis=1)
    pooled = g.node("Concat", [mean, first], "pooled", axis=-1)
    g.node(
        "Gemm",
        [pooled, g.constant("head.w", plain["head.w"]), g.constant("head.b", plain["head.b"])],
        "logits",
        transB=1,
    )
    graph = helper.make_graph(
        g.nodes,
        "autotier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "tokens", WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        g.weights,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="autotier"), str(path))
