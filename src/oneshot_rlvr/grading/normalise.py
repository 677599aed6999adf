"""One spelling for what prints the same: typography only, no mathematics. Policies: docs/grading.md."""

from __future__ import annotations

import re
from functools import lru_cache

from oneshot_rlvr.grading.limits import LONGEST

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "lg",
        "exp",
        "max",
        "min",
        "gcd",
        "lcm",
        "det",
        "arg",
        "pi",
    ]
)
GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "ell",
        "hbar",
    ]
)

MOST_ROUNDS = 5  # of tidying; one is enough for all but garbage

_CHARACTERS = str.maketrans(
    {
        **{"−": "-", "–": "-", "‐": "-", "×": r"\times ", "·": r"\cdot ", "∙": r"\cdot ", "÷": "/", "π": r"\pi "},
        **{"∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap "},
        **{"∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "±": r"\pm ", "’": "'", "′": "'", "θ": r"\theta "},
        **{"½": r"\frac12", "⅓": r"\frac13", "⅔": r"\frac23", "¼": r"\frac14", "¾": r"\frac34", "⅕": r"\frac15"},
        **{"⅖": r"\frac25", "⅗": r"\frac35", "⅘": r"\frac45", "⅙": r"\frac16", "⅚": r"\frac56", "⅛": r"\frac18"},
        **{"²": "^2", "³": "^3", "⟨": r"\langle ", "⟩": r"\rangle ", "∗": "*", "⁄": "/"},
    }
)
_COMMANDS = {
    **dict.fromkeys(["dfrac", "tfrac", "cfrac"], "frac"),
    **dict.fromkeys(["dbinom", "tbinom"], "binom"),
    **dict.fromkeys(["leq", "leqslant"], "le"),
    **dict.fromkeys(["geq", "geqslant"], "ge"),
    **dict.fromkeys(["neq", "not="], "ne"),
    **dict.fromkeys(["lt"], "<"),
    **dict.fromkeys(["gt"], ">"),
    **dict.fromkeys(["varnothing"], "emptyset"),
    **dict.fromkeys(["degree"], "circ"),
    **dict.fromkeys(["land", "wedge"], "and"),
    **dict.fromkeys(["lor", "vee"], "or"),
    **dict.fromkeys(["lvert", "rvert", "vert", "mid"], "|"),
    **dict.fromkeys(["lbrace"], "{"),
    **dict.fromkeys(["rbrace"], "}"),
    **dict.fromkeys(["textbf", "textrm", "textit", "texttt", "mathrm", "mathbf", "mathit", "mathsf", "mbox"], "text"),
    **dict.fromkeys(["operatorname", "rm", "bf", "hbox", "underline", "ensuremath", "textup", "textnormal"], "text"),
    **dict.fromkeys(["textsf", "textsc", "emph", "pmb", "bm", "mathnormal", "mathrel", "mathop"], "text"),
}
_DOUBLED = re.compile(r"\\{2,}(?=[A-Za-z{}%$,;!])")
_SIZES = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|phantom\{[^{}]*\}|boldsymbol)(?![A-Za-z])|\\!"
)
_ALIAS = re.compile(r"\\(" + "|".join(sorted(_COMMANDS, key=len, reverse=True)) + r")(?![A-Za-z])")
_BARE_ALIAS = {"<": " < ", ">": " > ", "|": "|", "{": r"\{", "}": r"\}"}
_WORD_SPACE = re.compile(r"\\(?:quad|qquad|hspace\{[^{}]*\}|mspace\{[^{}]*\})(?![A-Za-z])|(?<!\\)\\[,;: \n]|~")
_SCALE = re.compile(r"(?<=\d) ?(?:\\text\{)? *(thousand|million|billion|trillion)s?(?![A-Za-z])\}?")
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_CHOOSE = re.compile(r"\{([^{}]+)\\choose(?![A-Za-z])([^{}]+)\}")
_COMBINATIONS = (
    re.compile(r"(?<![A-Za-z\\])C\((\w+), ?(\w+)\)"),
    re.compile(r"(?:\{\})?[_^]\{?(\w+)\}? ?(?:\\text\{C\}|C)_\{?(\w+)\}?"),
    re.compile(r"(?<![A-Za-z\\])C_\{?(\w+)\}?\^\{?(\w+)\}?"),
    re.compile(r"^(\w+) ?\\choose ?(\w+)$"),
)
_PYTHON_MODULE = re.compile(r"(?<![A-Za-z\\])(?:np|numpy|math|sympy|sp)\.(?=[a-z])")
_PYTHON_EXPONENT = re.compile(r"\^\(([^()]*)\)")
_PYTHON_FLOAT = re.compile(r"(?<=\d)\.(?=[/*)^])")
_E_NOTATION = re.compile(r"(?<![\w.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d+)(?![\w.])")
_GROUPED_IN_BRACES = re.compile(r"(?<!\\)\{(\d{1,3}(?:,\d{3})+)\}")
_UNIT_FRACTION = re.compile(r"\\frac\{\\text\{([^{}]*)\}\}\{\\text\{([^{}]*)\}(\^\{\d\})?\}")
_SHORT_UNIT = re.compile(r"(?<=[\d}]) ?(min|sec)s?\.?$")  # no function has nothing after it
_WHOLE_TEXT = re.compile(r"^\s*\\text\s*\{\s*((?:\\\$)?-?\d[\d.,/]*) ([A-Za-z][A-Za-z ]*)\}\s*$")  # no 12 of 15
_CELSIUS = re.compile(r"(\^\\circ|\^\{\\circ\}) ?([CF])$")
_CLOCK = re.compile(r"^0(?=\d:\d\d(?![\d:]))")
_DIGIT_GROUP = re.compile(r"(?<=\d)(?:\{,\}|,?\\!,?|\\,|,\\,)\s*(?=\d{3}(?!\d))")
_LIST_COMMA = re.compile(r"(?<=\d),\s+(?=\d{3}(?!\d))")  # `1, 234` is a list, `1,234` may be a number
_MARK, _DOLLAR = "\x01", "\x02"
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(?:[bBp]?(?:small)?matrix|array)\}(?:\{[lcr| ]*\})?")
_FRAC_TOP = re.compile(r"\\(frac|binom)\s*(\d|[A-Za-z]|\\(?!frac|sqrt)[A-Za-z]+)\s*(?=[{\w\\])")
_FRAC_BOTTOM = re.compile(
    r"(\\(?:frac|binom)(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}))\s*(\d|[A-Za-z]|\\(?!frac|sqrt)[A-Za-z]+)"
)
_ROOT = re.compile(r"(?:√|\\sqrt(?![A-Za-z]))\s*(?:\((\w+)\)|(\d+|[A-Za-z])|(\\pi))")
_POWER = re.compile(r"\^\s*(-?\d+|[A-Za-z])")
_INDEX = re.compile(r"_\s*(\w)")
_EDGE = re.compile(r"^[\s;,]+|(?:[\s.,;:]|\\+)+$")
_ALNUM_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")
_AFTER_COMMAND = re.compile(r"(\\[A-Za-z]+) (?=[^A-Za-z])")
_NAMED_INDEX = re.compile(r"_\{\s*\\text\{\s*(\w+)\s*\}\s*\}")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}|\\text\s+([A-Za-z])")


@lru_cache(maxsize=20_000)
def canonical(answer: str) -> str:
    """The answer without `$`, sizes, spacing and final points, with one spelling for fractions, roots and relations.

    Spaces stay only between letters or digits (`1 2/3` is no `12/3`). What stood in `\\text{}` and its likes stays in
    `\\text{}`, unless it is a number, one letter inside more, or a function's name. What is longer than any answer
    stays as it is: some of these patterns take the square of the length.

    >>> canonical(r"$ \\dfrac12 + \\left(x\\right). $")
    '\\\\frac{1}{2}+(x)'
    """
    if len(answer) > LONGEST:
        return answer
    for _ in range(MOST_ROUNDS):
        before, answer = answer, _once(answer)
        if answer == before:
            break
    return answer


def _once(answer: str) -> str:
    text = answer.translate(_CHARACTERS)
    if r"\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = text.replace("\x00", "").replace(_MARK, "").replace(_DOLLAR, "")
    text = text.replace(r"\$", _DOLLAR).replace("$", "").replace(_DOLLAR, r"\$")
    text = re.sub(r"\\[()\[\]]", "", text) if re.match(r"\s*\\[(\[]", text) else text
    text = _ENVIRONMENT.sub(r"\\\1{matrix}", text)
    text = _SIZES.sub("", _DIGIT_GROUP.sub("", text))
    text = _LIST_COMMA.sub(_MARK, text.replace("{,}", ",").replace(r"\%", "%"))
    text = _ALIAS.sub(lambda m: _BARE_ALIAS.get(_COMMANDS[m[1]], "\\" + _COMMANDS[m[1]]), text)
    text = _WORD_SPACE.sub(" ", text)
    text = text.replace("**", "^").replace("==", "=")
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("!=", r"\ne ")
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _python(text)
    text = _SHORT_UNIT.sub(r"\\text{ \1}", _CELSIUS.sub(r"\1\\text{\2}", text))
    text = _CLOCK.sub("", _WHOLE_TEXT.sub(r"\1\\text{ \2}", text.replace(r"-\$", r"\$-")))
    for pattern in _COMBINATIONS:
        text = pattern.sub(r"\\binom{\1}{\2}", text)
    text = _TEXT.sub(_plain_text, _UNIT_FRACTION.sub(r"\\text{\1/\2}\3", text))
    text = _SCALE.sub(lambda match: rf"\times10^{{{_SCALES[match[1]]}}}", text)
    text = _roots(_bare_names(_NAMED_INDEX.sub(r"_{\1}", text)))
    text = _FRAC_TOP.sub(r"\\\1{\2}", text)
    text = _FRAC_BOTTOM.sub(r"\1{\2}", text)
    text = _INDEX.sub(r"_{\1}", _POWER.sub(r"^{\1}", text))
    text = _GROUPED_IN_BRACES.sub(_ungrouped, text)
    text = re.sub(r"\s+", " ", text)
    text = _ALNUM_SPACE.sub("", text).replace(_MARK, ", ")
    text = _AFTER_COMMAND.sub(r"\1", text)
    text = text.replace(r"^{\circ}", r"^\circ").replace(r"+\infty", r"\infty") if "\\" in text else text
    text = _EDGE.sub("", _unwrapped(_EDGE.sub("", text)))
    return r"\emptyset" if text == r"\{\}" else text


def _python(text: str) -> str:
    """What is written as for Python, as Minerva's golds are: `np.arcsin(1/2)`, `-1./3`, `x**(2)`, `1e-5`."""
    text = _PYTHON_FLOAT.sub("", _PYTHON_MODULE.sub("", text))
    text = _PYTHON_EXPONENT.sub(r"^{\1}", text)
    return _E_NOTATION.sub(r"\1\\times 10^{\2}", text)


def _ungrouped(match: re.Match[str]) -> str:
    return "{" + match[1].replace(",", "") + "}"


def _plain_text(match: re.Match[str]) -> str:
    inner = " ".join((match[1] if match[1] is not None else match[2]).split())
    before = match.string[: match.start()].rstrip()
    if inner in FUNCTIONS and not (inner in ("min", "sec") and before[-1:].isdigit()):
        return f"\\{inner} "
    if inner.lower() in ("and", "or", ",and", ", and"):
        return f" \\{inner.lower().strip(', ')} "
    if re.fullmatch(r"(?:\\\$)?[-+\d.,/:%^ ]+", inner):
        return inner
    outer = before + match.string[match.end() :]
    if len(inner) == 1 and outer.strip(" $.{}()"):
        unit = inner in "mgshlLNJWVCFKAM" and before[-1:] in "0123456789}/"
        return rf"\text{{{inner}}}" if unit else inner
    return rf"\text{{{inner}}}" if inner else " "


def _bare_names(text: str) -> str:
    """`sqrt(2)`, `sin(x)`, `pi` as people type them, with their backslash."""
    if not re.search(r"(?<![\\A-Za-z])(?:sqrt|" + "|".join(FUNCTIONS) + r")(?![A-Za-z])", text):
        return text
    text = re.sub(r"(?<![\\A-Za-z])sqrt\s*\(((?:[^()]|\([^()]*\))*)\)", r"\\sqrt{\1}", text)
    names = "|".join(sorted(FUNCTIONS, key=len, reverse=True))
    inside = [(m.start(), m.end()) for m in re.finditer(r"\\text\{[^{}]*\}", text)]

    def backslash(match: re.Match[str]) -> str:
        return match[0] if any(a <= match.start() < b for a, b in inside) else f"\\{match[0]} "

    return re.sub(rf"(?<![\\A-Za-z])(?:{names})(?![A-Za-z])", backslash, text)


def _roots(text: str) -> str:
    return _ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2] or m[3]}}}", text).replace("√", r"\sqrt")


def _unwrapped(text: str) -> str:
    """Without a pair of plain braces around the whole."""
    while len(text) > 1 and text[0] == "{" and text[-1] == "}":
        depth = 0
        for index, character in enumerate(text):
            depth += (character == "{" and text[index - 1 : index] != "\\") - (
                character == "}" and text[index - 1] != "\\"
            )
            if depth == 0 and index < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text
