"""What the originals ask sympy: two LaTeX parsers and a Python one. In a worker, which is killed when it is late.

The originals let sympy evaluate a text as Python. Here sympy's tokenizer writes the same expression, and only calls of
mathematical functions, numbers, symbols and operators of it are built; anything else is not parsed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy
from sympy.parsing import sympy_parser
from sympy.parsing.latex import parse_latex

TOLERANCE = 1e-4

_FUNCTIONS = {
    name: value
    for name, value in vars(sympy).items()
    if isinstance(value, type) and issubclass(value, sympy.Function) and value is not sympy.Lambda
}
_NAMES: dict[str, Any] = {
    **_FUNCTIONS,
    **{name: getattr(sympy, name) for name in ("sqrt", "cbrt", "root", "pi", "E", "I", "oo", "zoo", "nan")},
    **{name: getattr(sympy, name) for name in ("Integer", "Float", "Rational", "Symbol", "Function")},
    "abs": sympy.Abs,
}
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def python_expression(text: str, implicit: bool = False) -> Any:
    """A Python expression as sympy's `parse_expr` reads it, built without evaluating it.

    Args:
        text: the expression.
        implicit: `2x` and `sin x` are products and calls.

    Raises:
        ValueError: it has something that is no mathematics.
    """
    added = (sympy_parser.implicit_multiplication_application,) if implicit else ()
    code = sympy_parser.stringify_expr(text, {}, _NAMES, (*sympy_parser.standard_transformations, *added))
    return _built(ast.parse(code.strip(), mode="eval").body)


def _built(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Tuple(elts=items) | ast.List(elts=items):
            values = [_built(item) for item in items]
            return tuple(values) if isinstance(node, ast.Tuple) else values
        case ast.UnaryOp(op=op, operand=value) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_built(value))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_built(left), _built(right))
        case ast.Call(func=ast.Name() | ast.Call() as function, args=arguments, keywords=[]):
            return _built(function)(*(_built(argument) for argument in arguments))
    raise ValueError(f"no mathematics: {ast.dump(node)[:80]}")


def is_zero(text: str) -> bool:
    """Whether an expression simplifies to zero, as the training reward asks; False where it cannot be read."""
    try:
        return bool(sympy.simplify(python_expression(text.replace("^", "**"), implicit=True)) == 0)
    except MemoryError:
        raise
    except Exception:  # the parser and sympy raise whatever they trip over
        return False


def same_as_parsed(left: str, right: str) -> bool:
    """Whether two texts are equal once parsed, as the evaluation grader asks: one test after the other."""
    a, b = _parsed(left), _parsed(right)
    return any(_holds(test, a, b) for test in _TESTS)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """The first reading that works; the text itself where none does."""
    for parse in (parse_latex, python_expression):
        for spelling in (text.replace("\\\\", "\\"), text):
            try:
                return parse(spelling)
            except MemoryError:
                raise
            except Exception:
                continue
    return text


def _holds(test: Callable[[Any, Any], Any], a: Any, b: Any) -> bool:
    try:
        return bool(test(a, b))
    except MemoryError:
        raise
    except Exception:  # tuples have no `equals`, text has no shape
        return False


def _close(a: Any, b: Any) -> bool:
    return math.isclose(float(sympy.N(a)), float(sympy.N(b)), rel_tol=TOLERANCE)


def _entries_close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.applyfunc(_rounded).equals(b.applyfunc(_rounded))


def _rounded(value: Any) -> Any:
    return round(value, 3)


_TESTS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: str(a) == str(b) or a == b,
    lambda a, b: a.equals(b) or sympy.simplify(a - b) == 0,
    lambda a, b: abs(a.lhs - a.rhs).equals(abs(b.lhs - b.rhs)),
    _close,
    _entries_close,
)
