"""The words that the Qwen2.5-Math evaluation grader knows: units that it drops, and numbers that it reads."""

from __future__ import annotations

import re

# In its order, which counts: they are dropped one after the other. A dot stands for any character, as there.
_IN_ORDER = (
    "east;degree;mph;kmph;ft;m sqaure; m east;sq m;deg;mile;q .;monkey;prime;ratio;profit of rs;rd;o;gm;p . m;lb;"
    "tile;per;dm;lt;gain;ab;way;west;a .;b .;c .;d .;e .;f .;g .;h .;t;a;h;no change;men;soldier;pie;bc;excess;"
    "st;inches;noon;percent;by;gal;kmh;c;acre;rise;a . m;th;π r 2;sq;mark;l;toy;coin;sq . m;gallon;° f;profit;"
    "minw;yr;women;feet;am;pm;hr;cu cm;square;v â € ™;are;rupee;rounds;cubic;cc;mtr;s;ohm;number;kmph;day;hour;"
    "minute;min;second;man;woman;sec;cube;mt;sq inch;mp;∏ cm ³;hectare;more;sec;unit;cu . m;cm 2;rs .;rs;kg;g;"
    "month;km;m;cm;mm;apple;liter;loss;yard;pure;year;increase;decrease;d;less;Surface;litre;pi sq m;s .;metre;"
    "meter;inch"
)
_DROPPED = [re.compile(rf"(^|\W){unit}{plural}($|\W)") for plural in ("", "s") for unit in _IN_ORDER.split(";")]

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_TO_NINETEEN.split())} | {
    word: 20 + 10 * i for i, word in enumerate(_TENS.split())
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORDS = {*_VALUES, *_SCALES, "hundred", "point"}


def without_units(text: str) -> str:
    """Each unit dropped where it stands as a word, twice over; a text that would be empty stays."""
    if not any(character.isalpha() for character in text):
        return text
    for _ in range(2):
        for unit in _DROPPED:
            text = unit.sub(r"\1\2", text) or text
    return text


def number_in_words(text: str) -> str:
    """The number that a text's number words say, whatever else it says: "three apples" is 3; else the text.

    Source: the package word2number, which the original asks; `point` and more than four words a group are not read.
    """
    plain = text.replace("-", " ").lower()
    if plain.isascii() and plain.isdigit():
        return str(int(plain)) if len(plain) < 1000 else text
    words = [word for word in plain.split() if word in _WORDS]
    if not words or "point" in words or any(words.count(scale) > 1 for scale in _SCALES):
        return text
    total = group = 0
    for word in words:
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        else:
            group += _VALUES[word]
    return str(total + group)
