"""Between "similar" and "the same question": two verdicts, serve or ask upstream.

An embedding places ``enable`` beside ``disable`` and 100 beside 250; no threshold on it is safe (EVIDENCE, "Caching in
litellm"). So an ask is served from another one's answer only if nothing that would change the answer differs:

- what has a form in any language must be equal: numbers with their units, quoted strings, code, paths, versions, dates,
  and names (words with a capital inside a sentence, except in German, where every noun has one);
- their order too: from A to B is not from B to A;
- negation and the kind of question (who, when, where, why), in the languages whose words are listed;
- and *the fewer words differ, the more they matter*: two asks with nearly the same words and one difference were made
  different on purpose. They are refused whatever that difference is, which needs no list in any language. A true
  paraphrase differs in most of its words; the price is that an ask repeated with one harmless word changed goes
  upstream again.

What is left is decided by the cosine, against a threshold that comes from evidence (`service.cache.evidence`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_SHARED: Final = 0.5
"""Share of the longer ask's words that the other one may have too. See `service.cache.evaluation`."""
LONGEST_RATIO: Final = 3.0
MOST_WORDS: Final = 120
"""Longer asks carry conditions that neither an embedding of 256 tokens nor these rules see."""


class Difference(StrEnum):
    """What was found to differ."""

    NONE = "none"
    NUMBER = "number"
    UNIT = "unit"
    QUOTED = "quoted"
    CODE = "code"
    NAME = "name"
    ORDER = "order"
    NEGATION = "negation"
    QUESTION = "question"
    LANGUAGE = "language"
    FEW_WORDS = "few-words"
    LENGTH = "length"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Marks:
    """What the guard reads off one ask; made once and kept with the answer's ask.

    Attributes:
        words: All words, folded.
        numbers: Numbers in one form each, in order.
        units: What stands behind each number where it looks like a unit, else "".
        quoted: Strings in quotation marks.
        code: Identifiers, paths, flags, abbreviations, versions.
        names: Words with a capital inside a sentence.
        anchors: Numbers, code and names in their order.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    units: tuple[str, ...]
    quoted: frozenset[str]
    code: frozenset[str]
    names: frozenset[str]
    anchors: tuple[str, ...]
    is_negative: bool
    question: str


# A token: a path or code with marks inside it, a number with its marks, a word, one CJK character, any other sign.
_TOKEN = re.compile(
    r"--?[A-Za-z][\w-]*"
    r"|[~./\\]*[A-Za-z_][\w]*(?:[./\\:@#=+$][\w./\\:@#=+$-]*\w)+(?:\(\))?"
    r"|[$€£¥]?\d+(?:[.,:/'-]\d+)*"
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]"
    r"|[^\W\d_][\w]*(?:[-'’][\w]+)*(?:\(\))?|\S"
)
_QUOTED = re.compile(
    r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«\s*([^»]+?)\s*»|`([^`]+)`"
    r"|(?<!\w)['‘]([^'’]+)['’](?!\w)|「([^」]+)」"
)
_NUMBER = re.compile(r"[$€£¥]?\d+(?:[.,:/'-]\d+)*\Z")
_CODE = re.compile(
    r"--?[A-Za-z]|.*[_/\\@#=+$()].*|.*\w[.:]+\w.*|(?=.*\d)(?=.*[^\W\d_]).*|.*[a-z][A-Z].*|[A-Z][A-Z0-9&+]+\Z", re.DOTALL
)
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,']\d{3})+\Z")
_UNIT = re.compile(r"(?:[^\W\d_]{1,3}|[°%$€£¥µ][^\W\d_]?|[^\W\d_]{1,4}/[^\W\d_]{1,3}|px|rpm|mph|kmh|kWh|MiB|GiB)\Z")
_SPELT = re.compile(
    r"(?:kilo|centi|milli|mega|giga|deci|hecto)?(?:met|gram|lit|watt|byte|bit|joule|hertz|volt)\w*"
    r"|(?:mile|inch|feet|foot|yard|pound|ounce|gallon|acre|celsius|fahrenheit|kelvin|second|minut|hour|day|week|month|year"
    r"|euro|dollar|percent|prozent|stund|tag|woch|monat|jahr|hora|día|dia|seman|mes|año|heure|jour|semain|mois|an|ann"
    r"|ora|giorn|settiman|mese|uur|dag|maand|jaar|pfund|livre|libbr|libra|miglia|milla|milha|mijl|grad|grado|grau)\w*",
    re.IGNORECASE,
)
_SENTENCE_END = frozenset(".?!:…。？！\n")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEGATIVE = _set(
    "not no never none nobody nothing neither nor without cannot can't don't doesn't didn't isn't aren't won't wouldn't"
    " shouldn't wasn't haven't hasn't couldn't non avoid except unless fail fails"
    " nicht kein keine keinen keinem keiner nie niemals ohne nichts niemand außer"
    " ne pas jamais aucun aucune sans rien personne sauf"
    " nunca jamás sin nada nadie ningún ninguna excepto salvo"
    " mai senza nessun nessuna nessuno niente nulla tranne"
    " não nem sem nenhum nenhuma ninguém exceto"
    " niet geen nooit zonder niets niemand behalve"
    " nie bez nigdy żaden не нет без никогда yok değil olmayan 不 没 無 未 非 ない ません 안 못 لا ليس بدون नहीं"
)
_QUESTIONS: dict[str, frozenset[str]] = {
    "who": _set("who whom whose wer wem wen qui quién quiénes chi quem wie-nl kto кто kim 谁"),
    "when": _set("when wann quand cuándo quando wanneer kiedy когда"),
    "where": _set("where wo wohin où dónde adónde dove onde waar gdzie где nerede"),
    "why": _set("why warum weshalb wieso pourquoi perché waarom dlaczego почему neden"),
}


def marks_of(text: str, language: str | None) -> Marks:
    """Reads an ask once. About 40 us for 100 characters."""
    tokens = _TOKEN.findall(text)
    numbers: list[str] = []
    units: list[str] = []
    code: list[str] = []
    names: list[str] = []
    anchors: list[str] = []
    words: list[str] = []
    begins = True
    for position, token in enumerate(tokens):
        if _NUMBER.match(token):
            number, unit = _number(token), _unit(tokens[position + 1 : position + 3], token)
            numbers.append(number)
            units.append(unit)
            anchors.append(number)
            words.append(number)
        elif _CODE.match(token) and any(map(str.isalnum, token)):
            code.append(token.removesuffix("()").casefold())
            anchors.append(code[-1])
            words.append(code[-1])
        elif token[0].isalnum():
            word = _stem(token)
            words.append(word)
            if token[0].isupper() and not begins and language != "de" and len(token) > 1:
                names.append(word)
                anchors.append(word)
        begins = token in _SENTENCE_END or (begins and not token[0].isalnum())
    return Marks(
        words=tuple(words),
        numbers=tuple(numbers),
        units=tuple(units),
        quoted=frozenset(next(filter(None, found)).strip() for found in _QUOTED.findall(text)),
        code=frozenset(code),
        names=frozenset(names),
        anchors=tuple(anchors),
        is_negative=not _NEGATIVE.isdisjoint(word.casefold().replace("’", "'") for word in tokens),
        question=_question(words),
    )


def difference(a: Marks, b: Marks) -> Difference:
    """The first thing that makes two asks of one language different, or `Difference.NONE`."""
    if Counter(a.numbers) != Counter(b.numbers):
        return Difference.NUMBER
    if not _same_units(a, b):
        return Difference.UNIT
    if a.quoted != b.quoted:
        return Difference.QUOTED
    if a.code != b.code:
        return Difference.CODE
    if not (a.names <= set(b.words) and b.names <= set(a.words)):
        return Difference.NAME
    if a.is_negative != b.is_negative:
        return Difference.NEGATION
    if a.question != b.question and a.question and b.question:
        return Difference.QUESTION
    return _of_words(a, b)


def shared(a: Marks, b: Marks) -> float:
    """Share of the longer ask's words that the other one has too, 0 to 1."""
    longest = max(len(a.words), len(b.words))
    return (Counter(a.words) & Counter(b.words)).total() / longest if longest else 1.0


def _of_words(a: Marks, b: Marks) -> Difference:
    shorter, longer = sorted((len(a.words), len(b.words)))
    if not shorter or longer > LONGEST_RATIO * shorter or longer > MOST_WORDS:
        return Difference.LENGTH
    if shared(a, b) >= MOST_SHARED:
        return Difference.FEW_WORDS
    common = set(a.anchors) & set(b.anchors)
    if [x for x in a.anchors if x in common] != [x for x in b.anchors if x in common]:
        return Difference.ORDER
    return Difference.NONE


def _same_units(a: Marks, b: Marks) -> bool:
    """Whether each number has the same unit, as far as one is seen in both."""
    theirs = dict(zip(b.numbers, b.units, strict=True))
    return all(_compatible(unit, theirs.get(n, "")) for n, unit in zip(a.numbers, a.units, strict=True))


def _compatible(one: str, other: str) -> bool:
    """Equal, or one may be short for the other (``km`` and ``kilometres``): its letters in order, from the first on."""
    if one == other or not one or not other:
        return True
    short, long = sorted((one, other), key=len)
    letters = iter(long)
    return short[0] == long[0] and len(long) > len(short) + 1 and all(letter in letters for letter in short)


def _number(token: str) -> str:
    if _THOUSANDS.match(token.lstrip("$€£¥")):
        return re.sub(r"[.,']", "", token.lstrip("$€£¥"))
    return token.lstrip("$€£¥").replace(",", ".")


def _unit(following: list[str], token: str) -> str:
    if token[0] in "$€£¥":
        return token[0]
    if not following:
        return ""
    first = following[0]
    if first in "°%" and len(following) > 1 and first == "°":
        return (first + following[1]).casefold()
    if first[0] in "$€£¥%":
        return first
    return first.casefold() if _UNIT.match(first) or _SPELT.fullmatch(first) else ""


def _stem(token: str) -> str:
    """Folded, without a possessive: names must be found again however they are written."""
    word = token.replace("’", "'").casefold()
    return word.removesuffix("'s")


def _question(words: list[str]) -> str:
    """The kind of question where there is exactly one in the words, else ""."""
    found = {kind for kind, known in _QUESTIONS.items() if not known.isdisjoint(words)}
    return found.pop() if len(found) == 1 else ""
