"""Units after (or before) a value. One may be missing; two must be the same; nothing is converted."""

from __future__ import annotations

import re

_NO_UNITS = (  # doubt, another answer, arithmetic, or a part of the number
    "or and not but maybe perhaps possibly if unless either neither nor except than is are was be approximately "
    "about roughly some any no none all where when for with because since instead rather actually probably likely "
    "otherwise wrong incorrect false untrue invalid impossible unknown undefined unsure uncertain guess versus vs to "
    "through until between under above below within over plus minus times divided squared cubed factorial point "
    "least most more less fewer up down zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million billion trillion dozen score half halves third fourth fifth sixth seventh eighth ninth "
    "tenth hundredth thousandth"
)
HEDGES = {word + plural for word in _NO_UNITS.split(" ") for plural in ("", "s")}
MOST_WORDS = 5
MOST_UNITS = 6

_NAMES = {
    "centimeter": "cm",
    "centimetre": "cm",
    "millimeter": "mm",
    "millimetre": "mm",
    "kilometer": "km",
    "kilometre": "km",
    "meter": "m",
    "metre": "m",
    "inch": "in",
    "inches": "in",
    "foot": "ft",
    "feet": "ft",
    "mile": "mi",
    "yard": "yd",
    "gram": "g",
    "kilogram": "kg",
    "kilo": "kg",
    "milligram": "mg",
    "pound": "lb",
    "ounce": "oz",
    "liter": "l",
    "litre": "l",
    "milliliter": "ml",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "hour": "h",
    "hr": "h",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year",
    "yr": "year",
    "percent": "%",
    "pct": "%",
    "percentage": "%",
    "degree": "deg",
    "deg": "deg",
    "radian": "rad",
    "dollar": "$",
    "usd": "$",
    "cent": "cent",
    "mph": "mi/h",
    "kph": "km/h",
    "kmh": "km/h",
    "unit": "",
    "square unit": "",
    "cubic unit": "",
}
_BARE = "cm mm km kg mg ml mi mph kph lb oz ft yd pct percent percentage degree deg dollar usd cent unit"
_BARE_WORDS = {w for word in _BARE.split() for w in (word, word + "s")} | {
    name for word in _NAMES for name in (word, word + "s") if len(word) > 2 and " " not in word
}
_POWER = r"(?:\^\{?-?[\d/]+\}?)?"
_WRAPPED = re.compile(rf"\\text\{{([A-Za-z][A-Za-z .'/^\d-]*|%)\}}({_POWER})$")
_BARE_SUFFIX = re.compile(rf"(?<![A-Za-z\\])([A-Za-z]+(?: [A-Za-z]+)*)({_POWER})$")
_BARE_METRE = re.compile(r"(?<=\d)m(\^[23])$")
_SIGN = re.compile(r"\\?%$|\\\$$|\^\\circ(?:\\text\{([CF])\}|([CF]))?$|\\circ$")
_CURRENCY = re.compile(r"\\\$|[€£¥]")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")  # `\\tan 45^\\circ` is no number of degrees


def split_unit(text: str) -> tuple[str, str]:
    """A canonical answer without its unit, and the unit's usual name ("" for none).

    >>> split_unit(r"10\\text{ centimeters}")
    ('10', 'cm')
    """
    units, joint = "", ""
    for _ in range(MOST_UNITS):
        if (match := _SIGN.search(text)) and not _TRIGONOMETRY.search(text):
            name = match[0].strip("\\") if match[0][-1] in "%$" else "deg" + (match[1] or match[2] or "")
        elif ((match := _WRAPPED.search(text)) and is_unit(match[1])) or (
            (match := _BARE_SUFFIX.search(text)) and set(match[1].lower().split()) <= _BARE_WORDS
        ):
            name = unit_name(match[1]) + _plain_power(match[2])
        elif match := _BARE_METRE.search(text):
            name = "m" + match[1]
        else:
            break
        if match.start() == 0:
            break
        units = name + (joint if name and units else "") + units
        text = text[: match.start()].rstrip(" *")
        joint = "/" if text.endswith("/") else "*"
        text = text.rstrip("/")
    if match := _CURRENCY.match(text):
        text, units = text[match.end() :], units or match[0].removeprefix("\\")
    return text, units


def is_unit(words: str) -> bool:
    """Whether the words after a value may be its unit, and no second answer or doubt: few of them, and no hedging."""
    found = words.lower().replace("/", " ").split()
    return 0 < len(found) <= MOST_WORDS and not any(w.isdigit() or w in HEDGES for w in (w.strip(".,'") for w in found))


def unit_name(words: str) -> str:
    """One name for the spellings of a unit: singular, abbreviated, `square x` as `x^2`."""
    words = re.sub(r"(?<=\b\w)\.(?=\w\b)", "", words.lower())  # p.m.
    name = " ".join(words.replace(".", " ").split())
    if "/" in name:
        return "/".join(unit_name(part.strip()) for part in name.split("/"))
    for spelt in (name, name.removesuffix("s"), name.removesuffix("es")):
        if spelt in _NAMES:
            return _NAMES[spelt]
    first, _, rest = name.partition(" ")
    if rest and first in ("square", "sq", "cubic", "cu"):
        return unit_name(rest) + ("^2" if first.startswith("sq") else "^3")
    if " per " in name:
        return "/".join(unit_name(part) for part in name.split(" per "))
    return name.removesuffix("s") if len(name) > 2 else name


def same_unit(left: str, right: str) -> bool:
    """Whether two units agree; a missing one agrees with any."""
    return not left or not right or left == right


def _plain_power(power: str) -> str:
    return power.replace("{", "").replace("}", "").replace("^1", "")
