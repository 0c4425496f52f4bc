"""Which language an ask is in: by script, and for the Latin one by the commonest function words.

Only used to look up whether an embedding has been measured to know the language. Unsure is None, and None is never
served from a similar ask. The words are the most frequent ones of each language (Leipzig Corpora frequency lists),
without those that two of the languages share.
"""

from __future__ import annotations

import re

from classifier.byte_tables import table


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS: dict[str, frozenset[str]] = {
    "de": _set(
        "der die das und ist ich nicht ein eine einen zu mit auf für wie was kann man mir bitte im von den dem wir sind"
        " oder aus bei wenn wird es auch nach warum welche welcher einem einer zum zur wo wann"
    ),
    "en": _set(
        "the of and is are to how what why when which who where can should would my you your for with from this that it"
        " between does do did i was were please give explain write than if an"
    ),
    "es": _set(
        "el los las de que es una y cómo qué cuál por para con en del al puedo hay mi su cuándo dónde quién más entre"
        " lo sin sobre está son tiene hace"
    ),
    "fr": _set(
        "le les des est et une comment pourquoi quel quelle pour dans avec du au aux je vous ce cette qui sur sont mon"
        " peut faut où quand entre plus sans il faire l'on d'un d'une"
    ),
    "it": _set(
        "il lo gli che è una e come perché quale per con di del della dei nel nella posso sono mio mia quando dove chi"
        " più tra senza si fare cosa un'"
    ),
    "nl": _set(
        "de het een en is van hoe wat waarom welke ik niet voor met op aan kan mijn er zijn bij wanneer waar wie tussen"
        " zonder om uit naar dat dit moet je"
    ),
    "pt": _set(
        "o os as que é uma e como por para com em do da dos das no na posso meu minha quando onde quem qual mais entre"
        " sem não são fazer à ao um"
    ),
    "pl": _set("jak co jest nie się na do w z że czy dla mi po jaki jaka kiedy gdzie kto od przez oraz"),
    "tr": _set("ve bir bu nasıl ne nedir için mi mı ile neden hangi kim nerede var değil olan daha en"),
}
_SPOKEN_IN = {word: [c for c in _WORDS if word in _WORDS[c]] for known in _WORDS.values() for word in known}
_MARKS = {
    "de": "äöüß",
    "es": "ñ¿¡",
    "fr": "çêœëî",
    "pt": "ãõ",
    "it": "ìò",
    "pl": "łżźćśńąę",
    "tr": "ğşı",
}
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("uk", re.compile(r"[іїєґІЇЄҐ]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LETTERS = table(lambda c: c if c.isalpha() else " ")
_FEW = 2


def _words(folded: str) -> list[str]:
    """Words in order: letters, with an apostrophe between them or without."""
    if not folded.isascii() or "'" in folded:
        return _WORD.findall(folded)
    return folded.encode().translate(_LETTERS).decode().split()


def language_of(text: str) -> str | None:
    """Two-letter code of the language of an ask, or None where it is not clear. Looks at the first 2,000 characters."""
    text = text[:2000]
    if not text.isascii():
        for code, pattern in _SCRIPTS:
            if len(pattern.findall(text)) >= _FEW:
                return code
    folded = text.casefold().replace("’", "'")
    scores = dict.fromkeys(_WORDS, 0.0)
    for word in _words(folded):
        if word in _SPOKEN_IN:
            for code in _SPOKEN_IN[word]:
                scores[code] += 1
    if not folded.isascii():
        for code, marks in _MARKS.items():
            scores[code] += 1.5 * sum(mark in folded for mark in marks)
    best, second = sorted(scores.values(), reverse=True)[:2]
    if best < 1 or best == second:
        return None
    return max(scores, key=lambda code: scores[code])
