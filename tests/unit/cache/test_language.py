"""Languages of asks, as far as they decide whether similar ones are looked for."""

from __future__ import annotations

import pytest

from service.cache.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I undo the last commit?", "en"),
        ("Wie mache ich den letzten Commit rückgängig?", "de"),
        ("Comment annuler le dernier commit ?", "fr"),
        ("¿Cómo deshago el último commit?", "es"),
        ("Como desfaço o último commit em um repositório?", "pt"),
        ("Hoe maak ik de laatste commit ongedaan?", "nl"),
        ("Come si annulla l'ultimo commit della storia?", "it"),
        ("如何撤销上一次提交", "zh"),
        ("最後のコミットを取り消す方法", "ja"),
        ("마지막 커밋을 취소하는 방법", "ko"),
        ("Как отменить последний коммит", "ru"),
        ("كيف ألغي آخر تغيير", "ar"),
    ],
)
def test_clear_asks_are_told(text: str, language: str) -> None:
    """By script or by function words."""
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["", "git reset", "Berlin", "12 + 4", "foo_bar()"])
def test_what_is_not_clear_is_none(text: str) -> None:
    """Which is never compared with anything."""
    assert language_of(text) is None
