"""What may stand after an answer without being part of it: for which values it holds, and where its letters live."""

from __future__ import annotations

import re

from oneshot_rlvr.grading.brackets import split

_WORDS = r"for|where|with|when|whenever|if|provided|such that|given|assuming|as long as|in which"
_START = (
    rf"[,;]? ?\(?\\text\{{[,(]? ?(?:{_WORDS})(?![A-Za-z])"
    rf"|[,;]? ?\(?\\forall(?![A-Za-z])"
    rf"|[,;]? ?(?<![A-Za-z\\])\(?(?:for all|for any|for every|for each|where|whenever)(?![A-Za-z])"
)
_LIVES = re.compile(
    r"[,;]? ?\(?(?:\\text\{(?:for |where |with )?\} ?)?(?<![A-Za-z\\])[A-Za-z](?:_\{\w+\})?"
    r"(?:, ?[A-Za-z](?:_\{\w+\})?)*"
    r"\\in ?\\mathbb\{[A-Z]\}(?:[\^_]\{?[*+\w]+\}?)*(?:\\setminus ?\\\{[^{}]*\\\})?\)?"
)
_CONDITION = re.compile(r" ?\([A-Za-z](?:_\{\w+\})?(?:<|>|\\[lg]e|\\ne)[^(),]+\)")
_BOUND = re.compile(r", ?([A-Za-z])(?:<|>|\\[lg]e|\\ne)[-+\d.]+$")  # `2n+1, n \ge 1`
_ANOTHER = re.compile(  # what makes it a second answer, or a doubt
    r"\\or(?![A-Za-z])|\b(?:or|maybe|perhaps|otherwise|else|not|but|possibly|unless)\b|[,;] ?(?:\\and)? ?[-+]?[\d\\(]"
)


def without_comment(text: str) -> str:
    """A canonical answer without "for all n", "where k is an integer", `, n \\in \\mathbb{Z}` or `(x > 0)` at its end.

    What says more than that, a second case or a doubt, stays.

    >>> without_comment(r"f(n)=n\\text{for all}n")
    'f(n)=n'
    """
    if "\\" not in text and "for" not in text and "where" not in text and not text.endswith(")"):
        return text
    head, *_ = split(text, _START)
    if head.strip() and head != text and not _ANOTHER.search(text[len(head) :].lstrip(", ;")):
        text = head
    for pattern in (_LIVES, _CONDITION):
        for match in pattern.finditer(text):
            if match.end() == len(text) and match.start() > 0:
                text = text[: match.start()]
                break
    bound = _BOUND.search(text)
    if bound and bound[1] in (head := text[: bound.start()]) and not re.search(r"[,<>]|\\[lgn]e(?![A-Za-z])", head):
        text = head
    return text.rstrip(" ,;")
