"""litellm's complexity router as a baseline: run as a process of its own, prompts in by stdin, levels out.

`python -m training.complexity_router heuristic|heuristic_v2` reads a JSON list of strings and prints a JSON
list of levels
(SIMPLE, MEDIUM, COMPLEX, REASONING). litellm is imported here and nowhere else in `training`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

LEVELS = {"NON_REASONING": 0, "SIMPLE": 0, "MEDIUM": 1, "COMPLEX": 2, "REASONING": 2}
"""Its levels as positions of our tiers; COMPLEX goes up, because its makers name frontier models for it."""

LIMIT = 20_000
"""Characters of a prompt that are passed on: it takes 2 us for each of them."""


def routed(prompts: Sequence[str], kind: str = "heuristic", timeout_s: float = 300.0) -> list[int] | None:
    """Tier positions that litellm's router gives prompts.

    Args:
        prompts: The prompts.
        kind: `heuristic` or `heuristic_v2`.
        timeout_s: Limit of the process.

    Returns:
        One position for each prompt, or None if litellm is missing or its interface has changed.
    """
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-m", "training.complexity_router", kind]
    text = json.dumps([p[:LIMIT] for p in prompts])
    try:
        done = subprocess.run(  # noqa: S603  # our own module, no shell
            command, input=text, capture_output=True, text=True, timeout=timeout_s, env=environment, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return [LEVELS[level] for level in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Classify the prompts of stdin."""
    import litellm
    from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter

    litellm.suppress_debug_info = True
    models = [{"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "none", "mock_response": ""}}]
    names = dict.fromkeys(("SIMPLE", "MEDIUM", "COMPLEX", "REASONING"), "m")
    settings: dict[str, object] = {"tiers": names, "classifier_type": sys.argv[1]}
    router = ComplexityRouter("baseline", litellm.Router(model_list=models), settings, "m")
    classify = router._classify_locally if sys.argv[1] == "heuristic_v2" else router.classify
    levels = []
    for prompt in json.load(sys.stdin):
        found = classify(prompt, None)
        tier = found[0] if isinstance(found, tuple) else found.tier
        levels.append(str(getattr(tier, "value", tier)))
    sys.stdout.write(json.dumps(levels) + "\n")


if __name__ == "__main__":
    main()
