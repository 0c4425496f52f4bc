"""The sum over keys and values, against numbers that can be checked by hand, and the clock's verdict."""

from __future__ import annotations

from typing import Any

import pytest

from service.doctor.findings import Status
from service.doctor.house import clock
from service.doctor.memory import Need, fits, kv_cache_bytes

QWEN: dict[str, Any] = {
    "general.architecture": "qwen3",
    "qwen3.block_count": 36,
    "qwen3.attention.head_count": 32,
    "qwen3.attention.head_count_kv": 8,
    "qwen3.attention.key_length": 128,
    "qwen3.attention.value_length": 128,
    "qwen3.embedding_length": 4096,
}


def without(*names: str, **changed: Any) -> dict[str, Any]:
    """The facts with some left out or changed."""
    kept = {name: value for name, value in QWEN.items() if name.rpartition(".")[2] not in names}
    return kept | {f"qwen3.{name.replace('__', '.')}": value for name, value in changed.items()}


def test_the_sum_is_that_of_llama_cpp() -> None:
    """36 blocks of 8 heads of 128 + 128 values of two bytes are 147,456 bytes a token: 1.2 GB at 8,192."""
    assert kv_cache_bytes(QWEN, 8192) == 36 * 8 * 256 * 8192 * 2 == 1_207_959_552


def test_requests_at_once_each_have_a_context() -> None:
    """OLLAMA_NUM_PARALLEL multiplies the cache."""
    assert kv_cache_bytes(QWEN, 4096, 4) == 2 * (kv_cache_bytes(QWEN, 8192) or 0)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (without("key_length", "value_length"), 1_207_959_552),
        (without(attention__head_count_kv=[8] * 18 + [0] * 18), 1_207_959_552 // 2),
        (without("head_count_kv"), None),
        (without("block_count"), None),
        ({}, None),
        (without(block_count="36"), None),
    ],
)
def test_what_the_host_leaves_out_is_derived_or_said_to_be_unknown(info: dict[str, Any], expected: int | None) -> None:
    """Head widths follow from the model's width; heads may differ by block; anything else is None, never a guess."""
    assert kv_cache_bytes(info, 8192) == expected


def test_what_a_loaded_model_takes_counts_more_than_the_sum() -> None:
    """A measurement replaces the estimate."""
    need = Need("m", 8192, weights=5_000_000_000, cache=1_000_000_000, measured=9_000_000_000)

    assert fits("mini", 8, [need])[0].status is Status.FAILED
    assert fits("mini", 10, [need])[0].status is Status.OK


def test_only_pairs_that_fit_alone_compete() -> None:
    """A model that fits nowhere is one failure, not one per pair."""
    small, large = Need("s", 1, 5_000_000_000, 0), Need("l", 1, 30_000_000_000, 0)

    checks = [(one.check, one.status) for one in fits("macbook", 24, [small, large])]

    assert checks == [("memory of s", Status.OK), ("memory of l", Status.FAILED)]


@pytest.mark.parametrize(
    ("ahead_s", "status"),
    [
        ([0.4, None], Status.OK), ([-30.0], Status.WARNING), ([3600.0, 3601.0], Status.FAILED), ([None], Status.NOTE),
        ([-7200.0, 0.1, 0.2], Status.OK),
    ],
)  # fmt: skip
def test_the_clock_is_compared_with_the_middle_of_the_clouds(ahead_s: list[float | None], status: Status) -> None:
    """One cloud with a wrong clock accuses nobody."""
    assert clock(ahead_s).status is status
