"""Fine-tuning of the second stage, and its predictions out of source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.deep import EMBEDDINGS, GRAPH, VOCABULARY, build_tokenizer, view_tokens
from classifier.prompt import PromptView
from training.deep_base import LAYERS, Base
from training.deep_graph import write_graph
from training.split import grouped

if TYPE_CHECKING:
    from training.deep_net import Tensor, Upper

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DeepConfig:
    """Settings of the fine-tuning.

    Attributes:
        epochs: Passes over the rows.
        rate: Peak learning rate of the layers.
        head: The head learns at so many times that.
        batch: Rows of a step; batches are of like length.
        smoothing: Share of a label that is spread over all tiers.
        hidden: Share of a row's tokens, on average, that a step does not show to the upper layers.
        kept: How far the layers end from where they started: 1 as fine-tuned, 0 as published. Between the two lies
            what fine-tuning has learnt without what it has forgotten (Wortsman et al. 2022, "Robust fine-tuning of
            zero-shot models").
        threads: Threads of torch; part of the settings, because sums depend on it in the last bits.
        folds: Groups of sources (and of topics) for predictions out of source: each costs some nine minutes of a core,
            and the more there are the less is missing beside the source itself.
    """

    epochs: int = 2
    rate: float = 1.5e-4
    head: float = 10.0
    batch: int = 32
    smoothing: float = 0.05
    hidden: float = 0.1
    kept: float = 0.8
    threads: int = 1
    folds: int = 6


@dataclass(frozen=True, slots=True)
class DeepRows:
    """Rows as the second stage sees them.

    Attributes:
        states: Remembered outputs of the lower layers.
        lengths: (n,) tokens.
        soft: (n, 3) label distributions.
        weights: (n,) row weights, mean 1.
    """

    states: Sequence[Tensor]
    lengths: NDArray[np.intp]
    soft: Floats
    weights: Floats


def prepare(base: Base, views: Sequence[PromptView], soft: Floats, weights: Floats, config: DeepConfig) -> DeepRows:
    """Tokenise views and run the lower layers once.

    Args:
        base: The encoder.
        views: Views as in serving.
        soft: (n, 3) label distributions.
        weights: (n,) row weights.
        config: Settings.

    Returns:
        The rows.
    """
    import torch

    from training.deep_net import lower_states

    torch.set_num_threads(config.threads)
    tokenizer = build_tokenizer(list(base.pieces), list(base.scores))
    ids = [view_tokens(tokenizer, view)[: base.positions.shape[0]] for view in views]
    return DeepRows(lower_states(base, ids), np.array([len(i) for i in ids]), soft, weights)


def fit_deep(
    base: Base, data: DeepRows, rows: Rows, config: DeepConfig, seed: int, tick: Callable[[int], None] = lambda _: None
) -> Upper:
    """Fine-tune the upper layers on some rows.

    Args:
        base: The encoder.
        data: All rows.
        rows: Which of them train.
        config: Settings.
        seed: Of order, dropout and head.
        tick: Called with the rows of each step, when it is done.

    Returns:
        The upper layers.
    """
    import torch

    from training.deep_net import Upper, padded_states

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = Upper(base)
    model.train()
    inner = [p for name, p in model.named_parameters() if not name.startswith("head")]
    optimizer = torch.optim.AdamW(
        [{"params": inner, "lr": config.rate}, {"params": model.head.parameters(), "lr": config.head * config.rate}],
        weight_decay=0.01,
    )
    steps = config.epochs * -(-rows.size // config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, s / (0.1 * steps + 1)) * max(0.02, 1 - s / steps)
    )
    soft = data.soft * (1 - config.smoothing) + config.smoothing / 3
    scale = data.weights[rows].mean()
    for _ in range(config.epochs):
        for batch in batches(rows, data.lengths, config.batch, random):
            states, valid = padded_states(data.states, batch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(states, some_hidden(valid, config.hidden))
            target = torch.from_numpy(soft[batch].astype(np.float32))
            weight = torch.from_numpy((data.weights[batch] / scale).astype(np.float32))
            loss = (-(target * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1) * weight).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            tick(batch.size)
    settle(model, base, config.kept)
    model.eval()
    return model


def some_hidden(valid: Tensor, share: float) -> Tensor:
    """Hide tokens at random, the first one never; how many differs from row to row, up to twice the share.

    Args:
        valid: (batch, tokens) True where a row has a token.
        share: Of the tokens, on average.
    """
    import torch

    if not share:
        return valid
    shown = torch.rand(valid.shape) > 2 * share * torch.rand(valid.shape[0], 1)
    shown[:, 0] = True
    return valid & shown


def settle(model: Upper, base: Base, kept: float) -> None:
    """Move fine-tuned layers back towards where they started, `kept` of the way remaining; the head stays."""
    import torch

    from training.deep_net import Upper

    start = Upper(base).state_dict()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("head"):
                weight.copy_(torch.lerp(start[name], weight, kept))


def batches(rows: Rows, lengths: NDArray[np.intp], size: int, random: np.random.Generator) -> list[Rows]:
    """Batches of rows of like length, in random order; every row once."""
    mixed = random.permutation(rows)
    found: list[Rows] = []
    for start in range(0, mixed.size, size * 20):
        part = mixed[start : start + size * 20]
        part = part[np.argsort(lengths[part], kind="stable")]
        found += [part[k : k + size] for k in range(0, part.size, size)]
    return [found[k] for k in random.permutation(len(found))]


def predict_deep(model: Upper, data: DeepRows, rows: Rows, batch: int = 64) -> Floats:
    """(len(rows), 3) log-odds of some rows."""
    import torch

    from training.deep_net import padded_states

    out = np.zeros((rows.size, 3))
    order = np.argsort(data.lengths[rows], kind="stable")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, order.size, batch):
            places = order[start : start + batch]
            states, valid = padded_states(data.states, rows[places])
            out[places] = model(states, valid).float().numpy()
    return out


def out_of_source_deep(
    base: Base,
    data: DeepRows,
    keys: Sequence[str],
    trainable: NDArray[np.bool_],
    config: DeepConfig,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Floats:
    """(n, 3) log-odds of each row by a model that saw neither its source nor, if team-written, its topic.

    Args:
        base: The encoder.
        data: The rows.
        keys: What is held out together.
        trainable: (n,) rows that may train at all; the others are only predicted.
        config: Settings.
        seed: Of the fits.
        say: Called after each fold.
    """
    fold = grouped(keys, config.folds)
    out = np.zeros((fold.size, 3))
    for k in range(config.folds):
        test = np.flatnonzero(fold == k)
        model = fit_deep(base, data, np.flatnonzero((fold != k) & trainable), config, seed)
        out[test] = predict_deep(model, data, test)
        say(f"second stage, sources {k + 1} of {config.folds} held out: {test.size} rows predicted")
    return out


def export(base: Base, model: Any, folder: Path) -> None:
    """Write the files of the second stage (`classifier.deep.DEEP_FILES`) into an artifact folder.

    Args:
        base: The encoder that it started from.
        model: The fine-tuned upper layers.
        folder: Where to.
    """
    import json

    folder.mkdir(parents=True, exist_ok=True)
    export_graph(base, model, folder / GRAPH)
    words = base.words.reshape(base.words.shape[0], -1)
    np.savez_compressed(folder / EMBEDDINGS, packed=words, scales=base.word_scales, positions=base.positions)
    text = json.dumps({"pieces": base.pieces, "scores": base.scores}, ensure_ascii=False, separators=(",", ":"))
    (folder / VOCABULARY).write_text(text, encoding="utf-8")


def export_graph(base: Base, model: Any, path: Path) -> None:
    """Write the graph alone: word vectors and vocabulary do not learn."""
    packed, plain = model.exported()
    lower = {k: v for k, v in base.packed.items() if k not in packed}
    write_graph(path, {**lower, **packed}, {**base.plain, **plain}, LAYERS)
