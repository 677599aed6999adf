"""LaTeX in a text as MathML, which browsers show without a script; everything else, and what cannot be read, as text.

The text is hostile and latex2mathml lets markup in `\\text{}` through, so its output is parsed and written again from a
list of MathML elements and attributes. A formula with anything else in it stays as its source.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup, escape

LONGEST = 400  # characters of a formula
MOST = 60  # formulas of a text
DEEPEST = 12  # nested braces

_FORMULA = re.compile(r"\$\$(.{1,400}?)\$\$|\\\[(.{1,400}?)\\\]|\\\((.{1,400}?)\\\)|\$([^$\n]{1,400})\$", re.S)
_MATHML = "{http://www.w3.org/1998/Math/MathML}"
_TAGS = (
    "math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle "
    "mpadded mphantom menclose mmultiscripts mprescripts none"
)
_NAMES = (
    "display stretchy fence form separator accent accentunder largeop movablelimits symmetric mathvariant "
    "linethickness columnalign rowspacing columnspacing displaystyle scriptlevel minsize maxsize lspace rspace width "
    "height depth"
)
_ELEMENTS, _ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_NAMES.split())


def with_mathematics(text: str) -> Markup:
    """A text for the page, its formulas (`$...$`, `\\(...\\)`, `\\[...\\]`) as MathML."""
    parts, end = [], 0
    for count, match in enumerate(_FORMULA.finditer(text)):
        if count == MOST:
            break
        parts += [escape(text[end : match.start()]), formula(next(filter(None, match.groups())), match[0])]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def answer(text: str) -> Markup:
    """An answer for the page: all of it is a formula if it has a command and is not marked up in part."""
    return formula(text, text) if "\\" in text and "$" not in text else with_mathematics(text)


def formula(latex: str, source: str) -> Markup:
    """One formula as MathML with its source as a title; the escaped source where it cannot be read safely."""
    if len(latex) > LONGEST or _depth(latex) > DEEPEST:
        return escape(source)
    try:
        root = ElementTree.fromstring(convert(latex))
    except Exception:  # latex2mathml raises whatever it trips over, and its output may be no XML
        return escape(source)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_MATHML)
        if element.tag not in _ELEMENTS or not set(element.attrib) <= _ATTRIBUTES:
            return escape(source)
    written = ElementTree.tostring(root, encoding="unicode")
    return Markup('<span class="math" title="{}">{}</span>').format(source, Markup(written))


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        deepest = max(deepest, depth)
    return deepest
