"""Fine-tuned layers end between where they went and where they started."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the second stage is trained with torch")
pytest.importorskip("onnx", reason="the encoder is read with onnx")

from classifier.artifact import shipped_path  # noqa: E402  # only where torch is
from training.deep_base import read_base  # noqa: E402
from training.deep_net import Upper  # noqa: E402
from training.deep_train import settle, some_hidden  # noqa: E402


def test_layers_go_back_part_of_the_way_and_the_head_stays() -> None:
    """Moved by 1, three quarters remain; the head keeps all."""
    base = read_base(shipped_path())
    model = Upper(base)
    start = {name: weight.clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1.0

    settle(model, base, 0.75)

    for name, weight in model.named_parameters():
        assert torch.allclose(weight - start[name], torch.tensor(1.0 if name.startswith("head") else 0.75), atol=1e-5)


def test_some_tokens_are_hidden_but_never_the_first_or_what_is_not_there() -> None:
    """About the share of them, more in some rows than in others."""
    torch.manual_seed(0)
    valid = torch.arange(200)[None] < torch.full((64,), 150)[:, None]

    shown = some_hidden(valid, 0.1)

    assert shown[:, 0].all()
    assert not shown[:, 150:].any()
    shares = 1 - shown[:, :150].float().mean(dim=1)
    assert 0.07 < shares.mean() < 0.13
    assert shares.std() > 0.03


def test_nothing_is_hidden_without_a_share() -> None:
    """The mask stays as it is."""
    valid = torch.ones(2, 5, dtype=torch.bool)

    assert some_hidden(valid, 0.0) is valid
