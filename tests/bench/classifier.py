"""``python -m tests.bench.classifier``: time per prompt of both stages beside litellm's heuristic, load time, memory.

Prints a table and writes ``bench-results/classifier.json``. Each prompt is timed in wall and in CPU seconds:
on a shared machine the
second says what a call costs, the first what a caller waits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.bench.machine import RESULTS, facts

SIZES = (20, 200, 2_000, 20_000, 200_000, 1_000_000)
WORDS = (
    *("why", "does", "the", "nightly", "job", "time", "out", "after", "we", "moved", "it", "to", "the", "new"),
    *("cluster", "and", "what", "should", "we", "change", "first"),
)
LITELLM = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import litellm
from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter
models = [{"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "none"}}]
tiers = dict.fromkeys(("SIMPLE", "MEDIUM", "COMPLEX", "REASONING"), "m")
router = ComplexityRouter("bench", litellm.Router(model_list=models), {"tiers": tiers}, "m")
out = []
for prompts in json.load(sys.stdin):
    times = []
    for prompt in prompts:
        wall, cpu = time.perf_counter(), time.process_time()
        router.classify(prompt, None)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    out.append(times)
print(json.dumps(out))
"""
LOADING = """
import json, resource, time
start = time.perf_counter(); cpu = time.process_time()
import classifier
imported = time.perf_counter() - start
model = classifier.load(stages=STAGES)
loaded = time.perf_counter() - start
model.classify("what is a mutex")
print(json.dumps({"import_s": imported, "load_s": loaded, "cpu_s": time.process_time() - cpu,
                  "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def prompts(size: int, count: int) -> list[str]:
    """Different prompts of one size, prose with a code block in it."""
    found = []
    for number in range(count):
        line = " ".join(WORDS[(number + i) % len(WORDS)] for i in range(len(WORDS)))
        text = f"{line} {number}?\n```\nfor x in range({number}):\n    print(x)\n```\n"
        found.append((text * (size // len(text) + 1))[:size])
    return found


def timed(call: Callable[[str], object], texts: list[str]) -> list[tuple[float, float]]:
    """(wall, CPU) seconds of each call."""
    found = []
    for text in texts:
        wall, cpu = time.perf_counter(), time.process_time()
        call(text)
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return found


def quantiles(times: list[Any]) -> dict[str, float]:
    """Milliseconds: median and 99th percentile of wall and CPU time."""
    walls, cpus = sorted(t[0] for t in times), sorted(t[1] for t in times)
    last = min(len(walls) - 1, int(len(walls) * 0.99))
    middle = len(walls) // 2
    values = {"p50": walls[middle], "p99": walls[last], "cpu_p50": cpus[middle], "cpu_p99": cpus[last]}
    return {name: round(1e3 * value, 3) for name, value in values.items()}


def measure(scale: float = 1.0) -> dict[str, Any]:
    """Run everything once.

    Args:
        scale: Factor on the number of prompts.
    """
    import classifier

    counts = [max(5, int(scale * n)) for n in (300, 300, 300, 100, 40, 20)]
    sets = [prompts(size, count) for size, count in zip(SIZES, counts, strict=True)]
    first = classifier.load(stages=1)
    timed(first.classify, sets[1])
    result: dict[str, Any] = {"first stage": [quantiles(timed(first.classify, s)) for s in sets]}
    try:
        both = classifier.load(stages=2)
    except classifier.ArtifactError as error:
        print(f"second stage left out: {error}", file=sys.stderr)
    else:
        always = [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)]
        timed(both.classify, sets[1][:5])
        result["with the second"] = [
            quantiles(timed(lambda text: both.classify(text, matrix=always), s[:40])) for s in sets
        ]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    peer = subprocess.run(
        [sys.executable, "-c", LITELLM], input=json.dumps([s[:100] for s in sets]), capture_output=True, text=True,
        env=environment, check=False,
    )  # fmt: skip
    if peer.returncode == 0:
        result["litellm heuristic"] = [quantiles(t) for t in json.loads(peer.stdout.splitlines()[-1])]
    loading = {}
    for stages in (1, 2) if "with the second" in result else (1,):
        code = LOADING.replace("STAGES", str(stages))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loading[f"stages {stages}"] = json.loads(done.stdout)
    return {"facts": facts(), "sizes": list(SIZES), "times_ms": result, "loading": loading}


def table(result: dict[str, Any]) -> str:
    """Markdown: p99 in milliseconds by size, CPU time in brackets; then loading."""
    lines = ["| p99 in ms (CPU) | " + " | ".join(f"{s:,} chars" for s in result["sizes"]) + " |",
             "| --- " * (len(result["sizes"]) + 1) + "|"]  # fmt: skip
    for name, rows in result["times_ms"].items():
        lines.append(f"| {name} | " + " | ".join(f"{r['p99']:.2f} ({r['cpu_p99']:.2f})" for r in rows) + " |")
    for name, row in result["loading"].items():
        lines.append(f"\n{name}: loaded {row['load_s']:.2f} s after the start, {row['mib']:.0f} MiB resident.")
    return "\n".join(lines)


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    found = measure()
    (RESULTS / "classifier.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
