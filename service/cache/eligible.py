"""What may be answered from the cache and what may be kept: everything else is a bypass with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

MOST_CHARACTERS = 200_000
"""Of all texts of a request. Hashing that many takes half a millisecond; longer ones hardly ever come twice."""


class Bypass(StrEnum):
    """Why a request goes past the cache."""

    ASKED = "asked"  # x-autotier-cache: bypass
    PRIVATE = "private"  # keys, cards, or asked to stay in the house: kept nowhere
    DEGRADED = "degraded"  # the classifier failed: the tier is a guess
    EXPERIMENT = "experiment"  # an arm is measured by its own answers
    TEMPERATURE = "temperature"  # variety was asked for
    FIELD = "field"  # n, logprobs, web search, audio, ...: more than one text is wanted
    TOOL_LOOP = "tool-loop"
    ATTACHMENT = "attachment"  # what stands at an address may change
    NOW = "now"  # depends on when it is asked
    SIZE = "size"
    TIER = "tier"  # the operator keeps this tier out


# Fields with which an answer is more than its text, or never the same twice.
_FIELDS = frozenset(
    {"audio", "function_call", "functions", "logit_bias", "logprobs", "modalities", "n", "prediction", "top_logprobs",
     "web_search_options"}
)  # fmt: skip

# Whether an ask depends on now shows in words only. They are those of the languages that the project's data has, found
# as whole words; a language that is missing here is a risk that `ttl_s` bounds. False alarms cost one upstream call.
_NOW = re.compile(
    r"\b(?:"
    r"today|tonight|tomorrow|yesterday|now(?!\s+that)|currently|current|right now|nowadays|latest|newest|recent(?:ly)?"
    r"|up[- ]to[- ]date|this (?:week|month|year|morning|evening|weekend|season)|(?:next|last) (?:week|month|year|night)"
    r"|as of|so far|weather|forecast|news|stock price|exchange rate|what time|what day|just released"
    r"|heute|gestern|morgen|jetzt|gerade|aktuell\w*|derzeit\w*|momentan\w*|neu(?:e)?ste[rnsm]?|kürzlich|wetter|nachrichten"
    r"|diese[nrs]? (?:woche|monat|jahr)|nächste[nrs]? (?:woche|monat|jahr)|letzte[nrs]? (?:woche|monat|jahr)|wie spät"
    r"|aujourd'hui|aujourd’hui|hier|demain|maintenant|actuel\w*|récent\w*|dernière? (?:version|nouvelle)\w*|météo"
    r"|cette (?:semaine|année)|ce mois|quelle heure"
    r"|hoy|ayer|mañana|ahora|actual\w*|reciente\w*|últim[oa]s?|esta semana|este (?:mes|año)|qué hora|el tiempo hace"
    r"|oggi|ieri|domani|adesso|ora attuale|attual\w*|recent[ei]\w*|ultim[oaie]|questa settimana|quest'anno|che ore"
    r"|hoje|ontem|amanhã|agora|atual\w*|últim[oa]s?|esta semana|este (?:mês|ano)|que horas"
    r"|vandaag|gisteren|momenteel|huidige?|nieuwste|laatste|deze (?:week|maand)|dit jaar"
    r"|dziś|dzisiaj|wczoraj|jutro|teraz|obecnie|aktualn\w*|najnowsz\w*|ostatni\w*"
    r"|сегодня|вчера|завтра|сейчас|теперь|текущ\w*|последн\w*|недавно|новейш\w*|погода|новости|который час"
    r"|bugün|dün|yarın|şimdi|şu an\w*|güncel|en son|en yeni|bu (?:hafta|ay|yıl)|hava durumu|saat kaç"
    r")\b"
    r"|今天|今日|今晚|昨天|昨日|明天|明日|现在|現在|目前|当前|當前|最新|最近|这周|今年|本月|去年|明年|天气|新闻|几点"
    r"|いま|今は|今週|今月|先週|来週|天気|ニュース|何時"
    r"|오늘|어제|내일|지금|현재|최신|최근|이번 주|이번 달|올해|날씨|뉴스"
    r"|اليوم|أمس|غدا|الآن|حاليا|الحالي|أحدث|آخر|هذا الأسبوع|هذا العام|الطقس|أخبار"
    r"|आज|कल|अभी|अब|वर्तमान|नवीनतम|ताज़ा|मौसम|समाचार",
    re.IGNORECASE,
)


def depends_on_now(text: str) -> bool:
    """Whether an ask says that its answer depends on when it is asked."""
    return bool(_NOW.search(text))


def request_bypass(
    messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], *, max_temperature: float
) -> Bypass | None:
    """Why a request goes past the cache, by its content; None: it may use it.

    Args:
        messages: OpenAI's messages, checked.
        fields: Body fields that change the answer, with `temperature` wherever it was sent.
        max_temperature: Highest temperature that was sent with which answers are still shared.
    """
    temperature = fields.get("temperature")
    if isinstance(temperature, int | float) and temperature > max_temperature:
        return Bypass.TEMPERATURE
    if not _FIELDS.isdisjoint(fields):
        return Bypass.FIELD
    characters = 0
    for message in messages:
        if message["role"] in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
            return Bypass.TOOL_LOOP
        texts = list(_texts(message.get("content")))
        characters += sum(map(len, texts))
    if characters > MOST_CHARACTERS:
        return Bypass.SIZE
    if messages[-1]["role"] != "user":
        return Bypass.TOOL_LOOP
    return Bypass.NOW if any(map(depends_on_now, texts)) else None


def _texts(content: Any) -> Sequence[str]:
    if isinstance(content, str):
        return (content,)
    return tuple(part["text"] for part in content or () if part.get("type") == "text")


def is_keepable(choices: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an answer may be given again: one choice, whole (``stop``), with text, without a call or a refusal."""
    if len(choices) != 1 or choices[0].get("finish_reason") != "stop":
        return False
    message = choices[0]["message"]
    text = message.get("content")
    if message.get("tool_calls") or message.get("function_call") or message.get("refusal") or message.get("audio"):
        return False
    return isinstance(text, str) and bool(text.strip())
