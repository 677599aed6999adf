"""Responses that hang, blow up or run code in some graders, each with a gold that it does not equal."""

from __future__ import annotations

from pathlib import Path

Case = tuple[str, str, str]  # name, response, gold


def hostile_responses(canaries: Path) -> list[Case]:
    """About 150 cases; code in them would write a file into `canaries`."""
    bare = [*_numbers(), *_series(), *_shapes(), *_symbols(), *_code(canaries)]
    return [(name, rf"The answer is \boxed{{{text}}}.", gold) for name, text, gold in bare] + _responses()


def _numbers() -> list[Case]:
    towers = [
        rf"{a}^{{{b}^{{{c}^{d}}}}}" for a, b, c, d in [(9, 9, 9, 9), (2, 3, 4, 5), (7, 7, 77, 777), (10, 10, 10, 10)]
    ]
    towers += [f"{a}**{b}**{c}" for a, b, c in [(9, 9, 9), (2, 64, 64), (99, 99, 99)]]
    towers += [f"{a}^{{{b}}}" for a, b in [(2, 10**9), (3, -(10**12)), ("x", 10**9), (r"\pi", 10**8), ("(x+1)", 10**6)]]
    towers += [
        r"(10^{9})^{(10^{9})}",
        r"2^{2^{2^{2^{2^{2^{2}}}}}}",
        r"(((9^9)^9)^9)^9",
        r"e^{e^{e^{e^{e^{9}}}}}",
        r"x^{x^{x^{x^{x}}}}",
    ]
    towers += [r"10^{10^{8}}", r"1e999999999", r"1e-999999999", r"\sqrt[1000000000]{2}", r"2^{1/0}", r"0^{0^{0^0}}"]
    factorials = [
        "99999999!",
        "((9!)!)!",
        "9!!!!",
        "3!^{3!^{3!}}",
        r"\frac{10^9!}{10^8!}",
        r"\binom{10^9}{10^8}",
        r"\binom{999999999}{5}",
    ]
    factorials += [r"(2^{31})!", r"\sqrt{99999!}", r"\ln(99999!)", r"\Gamma(10^{10})", "170!+171!+9999!"]
    digits = [
        "1" * 300,
        "9" * 5_000,
        "7" * 100_000,
        "0." + "3" * 50_000,
        "1" * 4_301 + "/3",
        "-" * 3_000 + "5",
        "0" * 90_000,
    ]
    return [(f"number {i}", text, "5") for i, text in enumerate([*towers, *factorials, *digits])]


def _series() -> list[Case]:
    texts = [rf"\{kind}_{{n={start}}}^{{{end}}} {body}" for kind, start, end, body in _SERIES]
    texts += [
        r"\int_0^{1000000000} \sin(x^x) dx",
        r"\int_0^1 \int_0^1 \int_0^1 \frac{dxdydz}{1-xyz}",
        r"\int e^{x^2}\sin(x)^{9} dx",
    ]
    texts += [r"\int_0^\infty \frac{\sin(\tan x)}{x^{7/3}} dx", r"\lim_{x\to 0}\frac{\sin(\tan x)-\tan(\sin x)}{x^7}"]
    texts += [
        r"\frac{d^{50}}{dx^{50}} x^{x}",
        r"\det\begin{pmatrix}x&y\\z&w\end{pmatrix}^{99999}",
        r"\gcd(10^{300},3^{9999})",
    ]
    return [(f"series {i}", text, "5") for i, text in enumerate(texts)]


_SERIES = [
    ("prod", 1, 10**9, "n"), ("sum", 1, 10**9, r"\sin(n^2)"), ("sum", 1, r"\infty", r"\frac{1}{n^3+n+1}"),
    ("prod", 1, 9999, r"(x+n)"), ("sum", 1, 9999, r"\sqrt{n+\sqrt{n}}"), ("prod", 2, r"\infty", r"(1-\frac{1}{n^n})"),
    ("sum", 1, "9^9", "n!"), ("sum", 0, 9999, r"\binom{9999}{n}x^n"), ("prod", 1, "m!", r"n^{n}"),
    ("sum", 1, 9000, r"\sum_{m=1}^{9000} \frac{1}{nm+1}"),
]  # fmt: skip


def _shapes() -> list[Case]:
    wide = [",".join(str(i) for i in range(n)) for n in (200, 2_000)] + [", ".join(["x"] * 200)]
    wide += [r"\{" + ",".join(rf"\frac{{{i}}}{{{i + 1}}}" for i in range(60)) + r"\}", "(" * 500 + "5" + ")" * 500]
    wide += [
        "{" * 900 + "5" + "}" * 900,
        "[" * 2_000 + "5",
        r"\{" * 400,
        r"\left(" * 300 + "5",
        "5" + ")" * 3_000,
        "(,)" * 300,
    ]
    wide += [r"\frac{1}{1+" * n + "1" + "}" * n for n in (10, 30, 100)] + [
        r"\sqrt{2+" * n + "2" + "}" * n for n in (12, 40, 200)
    ]
    wide += [
        r"\frac" * 2_000,
        r"\sqrt" * 2_000,
        "^" * 2_000,
        "_" * 500,
        "{}" * 1_500,
        r"\text{" * 300,
        r"\left" * 900,
        "$" * 2_001,
    ]
    wide += [r"\begin{pmatrix}" + "&".join("x" * 90) + r"\end{pmatrix}", r"\begin{pmatrix}" * 50, r"1 & 2 \\" * 100]
    wide += [
        r"\pm 1" * 30,
        r"\pm" * 200,
        "x=" * 300,
        "<" * 500,
        "1<" * 200 + "x",
        r"\cup" * 300,
        r"\in" * 300,
        "a:" * 200,
    ]
    wide += [r"5\text{ or 6}", r"5 \text{ maybe } 6", "5 or 6", "5;6", "5=6", "6=5=6"]
    return [(f"shape {i}", text, "5") for i, text in enumerate(wide)] + [("reordered", "(2,1)", "(1,2)")]


def _symbols() -> list[Case]:
    radicals = "+".join(rf"\sqrt{{{n}}}" for n in range(2, 80))
    nested = "+".join(rf"\sqrt[{n}]{{{n + 1}+\sqrt{{{n + 2}}}}}" for n in range(3, 30))
    texts = [
        radicals,
        nested,
        "(x+y+z+w)^{60}",
        "(x+1)^{9999}",
        "(a+b)^{99}(c+d)^{99}(e+f)^{99}",
        "abcdefghijklmnopqrstuvwxyz" * 30,
    ]
    texts += ["+".join(f"x_{{{i}}}" for i in range(90)), r"\sin(" * 14 + "x" + ")" * 14, r"\log_{\log_{\log_2 3}4}5"]
    texts += [
        r"\arcsin(10^{99})",
        r"\tan(10^{999})",
        r"\frac{1}{\sin(0)}",
        r"\frac{0}{0}",
        r"\ln(0)",
        r"i^{i^{i}}",
        r"\infty-\infty",
    ]
    texts += [
        "５",
        "٥",
        "५",
        "𝟓",
        "⑤",
        "Ⅴ",
        "五",
        "five",
        "5\u200b",
        "\u202e5",
        "5\u0338",
        "\ufeff5\ufeff",
        "½0",
        "5\x00",
        "\x00" * 400,
    ]
    texts = [text for text in texts if text not in ("five", "5\x00")]
    return [(f"symbol {i}", text, "5") for i, text in enumerate(texts)] + [
        ("products", "(x+y+z+w)^{50}", "(x+y+z+w)^{49}(x+y+z+v)")
    ]


def _code(canaries: Path) -> list[Case]:
    write = f"open('{canaries}/{{}}','w')"
    texts = [
        write,
        f"({write},2)",
        f"__import__('os').system('touch {canaries}/{{}}')",
        f'exec("{write}")',
        f'eval("{write}")',
    ]
    texts += [f"(lambda: {write})()", f"[{write} for x in (1,)][0]", f"5 if {write} else 6", f"{write}.close() or 5"]
    texts += [
        rf"\input{{|touch {canaries}/{{}}}}",
        rf"\write18{{touch {canaries}/{{}}}}",
        rf"\immediate\write18{{touch {canaries}/{{}}}}",
    ]
    texts += [
        f"'+{write}+'",
        f'"; {write}; "',
        f"$(touch {canaries}/{{}})",
        f"`touch {canaries}/{{}}`",
        "exit()",
        "quit()",
        "os.abort()",
    ]
    texts += [
        "().__class__.__bases__[0].__subclasses__()",
        "sympy.sympify('1')",
        "{{7*7}}",
        "%s%n",
        "__debug__",
        "print(5)",
        "input()",
    ]
    return [(f"code {i}", text.replace("{}", f"canary{i}"), "(1,2)" if i == 1 else "5") for i, text in enumerate(texts)]


def _responses() -> list[Case]:
    texts = [
        "",
        r"\boxed{}",
        r"\boxed{5",
        r"\boxed{" * 20_000,
        r"\boxed{" * 9_000 + "}",
        r"\boxed{6} " * 9_000,
        "}" * 100_000,
    ]
    texts += [
        "{" * 100_000,
        "\\" * 100_000,
        "\\\n" * 50_000,
        "#" * 100_000,
        "#### " * 20_000,
        "#### \n" * 20_000,
        "</think>" * 20_000,
    ]
    texts += [
        r"\boxed{" + " " * 100_000 + "}",
        r"\boxed{" + "\n" * 100_000 + "}",
        r"\boxed{" + "x" * 1_000_000 + "}",
        "word " * 40_000,
    ]
    texts += [
        r"\boxed" * 30_000,
        r"\boxed 6 " * 20_000,
        r"\fbox{" * 20_000 + "6}",
        "\x00" * 100_000,
        "\ud800\udfff" * 1_000,
        "<think>" * 10_000,
    ]
    return [(f"response {i}", text, "5") for i, text in enumerate(texts)]
