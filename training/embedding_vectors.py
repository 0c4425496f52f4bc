"""Vectors of texts, kept on disk: what a host was asked once it is not asked again, whatever happened in between.

Kept are a hash of each text and its vector, no text; by model, digest and prefix, so that another model begins anew.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.embedding import EmbeddingTerm, unit

Vectors = NDArray[np.float32]
Fetch = Callable[[Sequence[str]], Vectors]
Step = Callable[[int, int], None]

BATCH = 32
"""Texts of one request to the host."""

PORTION = 8
"""Requests after which what came is written down."""


class VectorsMissing(Exception):
    """A vector that is needed cannot be had; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Whose vectors they are.

    Attributes:
        name: Key of `classifier.embeddings`.
        model: The model's name at its host.
        digest: Of its weights, "" where the host tells none.
        prefix: What stands before each text.
    """

    name: str
    model: str
    digest: str = ""
    prefix: str = ""

    @classmethod
    def of(cls, term: EmbeddingTerm) -> EmbeddingModel:
        """The model that an artifact's term was trained with."""
        return cls(term.name, term.model, term.digest, term.prefix)


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """Vectors of one model.

    Attributes:
        model: Whose they are.
        folder: Where they are kept; None: nowhere.
        fetch: Asks the host for at most `BATCH` texts; raises `VectorsMissing`. None: only what is kept is there.
        step: Called with (done, of) after each request.
    """

    model: EmbeddingModel
    folder: Path | None = None
    fetch: Fetch | None = None
    step: Step = field(default=lambda done, of: None)

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) of length 1.

        Args:
            texts: With the model's prefix before them.

        Raises:
            VectorsMissing: One cannot be had; those that came before it are kept.
        """
        known = self._read()
        wanted = {_key(text): text for text in texts}
        missing = {key: text for key, text in wanted.items() if key not in known}
        if missing:
            self._fetched(missing, known)
        sizes = {known[key].size for key in wanted}
        if len(sizes) > 1:
            raise VectorsMissing(f"{self.model.model} gave vectors of {' and '.join(map(str, sorted(sizes)))} numbers")
        found = np.array([known[_key(text)] for text in texts], dtype=np.float32).reshape(len(texts), -1)
        return unit(found).astype(np.float32)

    def _fetched(self, missing: dict[bytes, str], known: dict[bytes, NDArray[np.float16]]) -> None:
        if self.fetch is None:
            raise VectorsMissing(f"{len(missing)} texts have no vector of {self.model.model} here")
        keys = list(missing)
        new: dict[bytes, NDArray[np.float16]] = {}
        try:
            for number, start in enumerate(range(0, len(keys), BATCH), 1):
                part = keys[start : start + BATCH]
                for key, vector in zip(part, self.fetch([missing[key] for key in part]), strict=True):
                    new[key] = unit(vector).astype(np.float16)
                self.step(start + len(part), len(keys))
                if number % PORTION == 0:
                    self._write(new)
                    known |= new
                    new = {}
        finally:
            self._write(new)
            known |= new

    def _files(self) -> Iterator[Path]:
        if self.folder is not None and self.folder.is_dir():
            yield from sorted(self.folder.glob(f"{self._name}-*.npz"))

    @property
    def _name(self) -> str:
        said = f"{self.model.model}\n{self.model.digest}\n{self.model.prefix}"
        return f"vectors-{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def _read(self) -> dict[bytes, NDArray[np.float16]]:
        found: dict[bytes, NDArray[np.float16]] = {}
        for file in self._files():
            try:
                with np.load(file, allow_pickle=False) as arrays:
                    keys, vectors = arrays["keys"], arrays["vectors"]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                continue  # damaged: they are asked for again
            found |= {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=False)}
        return found

    def _write(self, new: dict[bytes, NDArray[np.float16]]) -> None:
        if self.folder is None or not new:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(sorted(new))).hexdigest()[:16]
        waiting = self.folder / f".{self._name}.{os.getpid()}.npz"
        keys = np.frombuffer(b"".join(new), dtype=np.uint8).reshape(len(new), 16)
        np.savez(waiting, keys=keys, vectors=np.array(list(new.values())))
        os.replace(waiting, self.folder / f"{self._name}-{name}.npz")


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()[:16]
