"""The guard between similar and the same: what differs is found, in any language as far as it has a form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.guard import Difference, difference, marks_of, shared


def differs(a: str, b: str, language: str = "en") -> Difference:
    """What the guard says."""
    return difference(marks_of(a, language), marks_of(b, language))


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("How long is a 5 km run?", "What time does running 10 km take?", Difference.NUMBER),
        ("Convert 1,000 metres", "How far is 1.001 metres in miles", Difference.NUMBER),
        ("Roast it at 200 °C, how long?", "For how many minutes does meat stay in at 200 °F", Difference.UNIT),
        ("Is 30 kg too heavy for a child", "May a kid lift something of 30 lb", Difference.UNIT),
        ("How much is $50 worth", "What can one buy for €50 there", Difference.UNIT),
        ('Translate "good night" for me', 'How would you say "good day" in Italian', Difference.QUOTED),
        ("What does `git reset` do", "Explain the effect of `git revert` please", Difference.QUOTED),
        ("What does os.path.join do", "Tell me the use of os.path.split, briefly", Difference.CODE),
        ("Upgrade to v1.2.3, how", "Which way leads to v1.2.4 quickly", Difference.CODE),
        ("What is in /etc/hosts", "Contents of the file /etc/passwd explained", Difference.CODE),
        ("Return it as JSON", "Give the whole result formatted as XML", Difference.CODE),
        ("How tall is the tower in Paris", "Height of that famous building of London", Difference.NAME),
        ("Should I not eat raw eggs", "Is it fine to have uncooked eggs", Difference.NEGATION),
        ("Wer hat das Rad erfunden", "Wann entstand eigentlich das erste Rad", Difference.QUESTION),
        ("How do I enable dark mode?", "How do I disable dark mode?", Difference.FEW_WORDS),
        ("Wie schalte ich das Licht ein", "Wie schalte ich das Licht aus", Difference.FEW_WORDS),
        ("Is tea better than coffee", "Is coffee better than tea", Difference.FEW_WORDS),
        ("猫は犬より賢いですか", "犬は猫より賢いですか", Difference.FEW_WORDS),
        ("Summarise it in one sentence", "Summarise it in great detail", Difference.FEW_WORDS),
        ("Flights from Oslo to Rome", "I want to fly: leaving Rome tonight, destination Oslo", Difference.ORDER),
        ("Why?", "Why is the sky of our planet blue", Difference.LENGTH),
    ],
)
def test_what_changes_the_answer_is_found(a: str, b: str, found: Difference) -> None:
    """Each kind by its own name, in both directions."""
    language = "de" if found is Difference.QUESTION else "en"

    assert differs(a, b, language) is found
    assert differs(b, a, language) is found


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I undo my last commit in Git?", "I committed too early, what takes that back in Git"),
        ("How far do 100 km/h carry me", "Travelling at 100 km/h, which distance would result"),
        ("boiling point of water at 3 km", "At 3 kilometres of altitude, when will a kettle bubble"),
        ("Warum ist der Himmel blau?", "Woher kommt eigentlich die Farbe des Firmaments"),
        ("What is the capital of France", "Which city governs the nation of France"),
    ],
)
def test_other_words_for_the_same_pass(a: str, b: str) -> None:
    """A true paraphrase shares few words and no mark differs; the cosine decides then."""
    language = "de" if a.startswith("Warum") else "en"

    assert differs(a, b, language) is Difference.NONE


@given(st.text(max_size=150), st.text(max_size=150))
def test_the_guard_is_total_and_symmetric(a: str, b: str) -> None:
    """Any two texts, and the order of the two does not matter to the verdict."""
    one, two = marks_of(a, "en"), marks_of(b, "en")

    assert (difference(one, two) is Difference.NONE) == (difference(two, one) is Difference.NONE)
    assert 0 <= shared(one, two) <= 1


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=4, max_size=12), st.data())
def test_one_changed_word_is_never_served(words: list[str], data: st.DataObject) -> None:
    """Whatever the words mean: with all others equal, a change was made on purpose."""
    position = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:position], "omega", *words[position + 1 :]]

    assert differs(" ".join(words), " ".join(changed)) is not Difference.NONE
