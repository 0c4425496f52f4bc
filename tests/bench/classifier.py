"""``python -m tests.bench.classifier``: time per prompt of both stages beside litellm's heuristic, load time, memory.

Prints a table and writes ``bench-results/classifier.json``. Each prompt is timed in wall and in CPU seconds: on a
shared machine the second says what a call costs, the first what a caller waits. A second table is of texts written
against the expressions that read a request: 18,000 characters of some of them once held the interpreter for a second.
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
HARD_SIZES = (2_000, 1_000_000)
HARD = {
    "ordinary prose": (" ".join(WORDS) + "? ", ""),
    "lines of blanks": (" " * 238 + "x\n", ""),
    "words behind blanks": (" " * 40 + "some words here and\n", ""),
    "blanks and a digit": (" ", "7"),
    "lines with a colon": ("a: b\n", ""),
    "asks that nothing closes": ("<task>", "</x>"),
    "envelopes that nothing closes": ("<a_b>", "</x>"),
    "rows that nothing closes": ("<row-a><cell_b>1</cell_b>", ""),
    "blanks in an ask": (" ", "<task>" + " " * 1_900 + "</x>"),
    "lines with places": ("at " + ":" * 236 + "\n", ""),
    "dots": ("." * 600 + "x ", ""),
}
"""By name, what a hard text repeats and how it ends."""
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
LOADING = '''
import json, resource, sys, time
from pathlib import Path

def peak_mib():
    """Most memory that this process had. `ru_maxrss` begins with what the parent had (it outlives an exec)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)

start = time.perf_counter(); cpu = time.process_time()
import classifier
imported = time.perf_counter() - start
model = classifier.load(stages=STAGES)
loaded = time.perf_counter() - start
model.classify("what is a mutex")
print(json.dumps({"import_s": imported, "load_s": loaded, "cpu_s": time.process_time() - cpu,
                  "mib": peak_mib()}))
'''


def prompts(size: int, count: int) -> list[str]:
    """Different prompts of one size, prose with a code block in it."""
    found = []
    for number in range(count):
        line = " ".join(WORDS[(number + i) % len(WORDS)] for i in range(len(WORDS)))
        text = f"{line} {number}?\n```\nfor x in range({number}):\n    print(x)\n```\n"
        found.append((text * (size // len(text) + 1))[:size])
    return found


def hard_texts(unit: str, end: str, size: int, count: int) -> list[str]:
    """Different texts of one size that repeat a unit: features of a text that was there before are kept."""
    ends = [f"{end} {number}" for number in range(count)]
    return [(unit * (size // len(unit) + 1))[: max(0, size - len(last))] + last for last in ends]


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


def measure_hard(call: Callable[[str], object], scale: float = 1.0) -> dict[str, list[dict[str, float]]]:
    """Quantiles of the hard texts by name, one for each of `HARD_SIZES`."""
    count = max(5, int(scale * 40))
    return {
        name: [quantiles(timed(call, hard_texts(unit, end, size, count))) for size in HARD_SIZES]
        for name, (unit, end) in HARD.items()
    }


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
    hard = measure_hard(first.classify, scale)
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
    return {
        "facts": facts(),
        "sizes": list(SIZES),
        "times_ms": result,
        "hard_sizes": list(HARD_SIZES),
        "hard_ms": hard,
        "loading": loading,
    }


def table(result: dict[str, Any]) -> str:
    """Markdown: p99 in milliseconds by size, CPU time in brackets; the hard texts likewise; then loading."""
    lines = _rows("p99 in ms (CPU)", result["sizes"], result["times_ms"])
    lines += ["", *_rows("first stage, hard texts", result["hard_sizes"], result["hard_ms"])]
    for name, row in result["loading"].items():
        lines.append(f"\n{name}: loaded {row['load_s']:.2f} s after the start, {row['mib']:.0f} MiB resident at most.")
    return "\n".join(lines)


def _rows(head: str, sizes: list[int], rows: dict[str, Any]) -> list[str]:
    lines = [f"| {head} | " + " | ".join(f"{s:,} chars" for s in sizes) + " |", "| --- " * (len(sizes) + 1) + "|"]
    for name, found in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{r['p99']:.2f} ({r['cpu_p99']:.2f})" for r in found) + " |")
    return lines


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    found = measure()
    (RESULTS / "classifier.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
