"""Prompt templates: how a question becomes the text that the model continues.

`answer` says where the answer is expected (`box` or `hash`) and `think` whether only what follows `</think>` counts;
grading reads both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from jinja2 import TemplateError

from oneshot_rlvr.config.template_file import inline, is_template_file, read_inline
from oneshot_rlvr.errors import FOREIGN, OneshotError, first_line, nearest

BOXED_INSTRUCTION = "Let's think step by step and output the final answer within \\boxed{}."
HASH_INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
R1_SYSTEM = (
    "A conversation between User and Assistant. The User asks a question, and the Assistant solves it. The Assistant "
    "first thinks about the reasoning process in the mind and then provides the User with the answer. The reasoning "
    "process is enclosed within <think> </think> tags, and the final answer follows it within \\boxed{}."
)
_MARKUP = ("<|im_start|>", "<|im_end|>")  # complete by itself, whether or not the tokenizer knows it
_PROBE = "what the assistant says"
_DATE = re.compile(r"""strftime_now\(\s*("[^"]*"|'[^']*')\s*\)""")
DAY = datetime(2024, 7, 26)  # today, for a template that says it


@dataclass(frozen=True)
class Template:
    """One way to ask. `text` has a place for `{question}`; None means the tokenizer's own chat template.

    `turn_end` is what ends the model's turn in this template, though a base model's own end of text is another token.
    `shots` are (question, response) pairs that stand before the question, each with `between` after it. `system` is
    what a chat begins with, `jinja` a chat template in the place of the tokenizer's.
    """

    name: str
    text: str | None
    answer: Literal["box", "hash"] = "box"
    think: bool = False
    instruction: str = ""
    turn_end: str | None = field(default=None, repr=False)
    shots: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    between: str = field(default="\n\n", repr=False)
    system: str = field(default="", repr=False)
    jinja: str | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What people call it; `name` is what finds it again, for a user's own all that is in it."""
        return read_inline(self.name).name if self.name.startswith("{") else self.name

    def render(self, question: str, tokenizer: Any = None) -> str:
        """The prompt's text.

        Raises:
            OneshotError: the chat template is asked for and the tokenizer has none.
        """
        if self.text is not None:
            end = f"{self.turn_end or ''}{self.between}"
            before = [self.text.replace("{question}", self._asked(q)) + said + end for q, said in self.shots]
            return "".join(before) + self.text.replace("{question}", self._asked(question))
        if self.jinja is None and getattr(tokenizer, "chat_template", None) is None:
            raise OneshotError("the model's tokenizer has no chat template", fix="Use --set model.template=boxed.")
        pairs = [(("user", self._asked(q)), ("assistant", said)) for q, said in self.shots]
        said = [*(turn for pair in pairs for turn in pair), ("user", self._asked(question))]
        return self._chat([("system", self.system), *said] if self.system else said, tokenizer)

    def _chat(self, said: Sequence[tuple[str, str]], tokenizer: Any, ask: bool = True) -> str:
        """Turns as the chat template writes them, in Transformers' sandbox; with `ask`, up to the model's own."""
        turns = [{"role": role, "content": content} for role, content in said]
        program = self.jinja if self.jinja is not None else tokenizer.chat_template
        own = {"chat_template": _undated(program)} if isinstance(program, str) else {}  # or several, by name
        try:
            return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask, **own)
        except (TemplateError, *FOREIGN) as error:  # anybody's program
            raise OneshotError(
                f"the chat template fails: {first_line(error)}", where=f"template {self.title}", fix="Mend it."
            ) from error

    def _asked(self, question: str) -> str:
        return f"{question} {self.instruction}" if self.instruction else question

    def stop_ids(self, tokenizer: Any) -> tuple[int, ...]:
        """The token that ends a turn, if this template has turns and the tokenizer a token for their end."""
        special = _markup_of(tokenizer)
        if self.text is not None:
            return (special[self.turn_end],) if self.turn_end in special else ()
        if self.jinja is None and getattr(tokenizer, "chat_template", None) is None:
            return ()  # `render` refuses it
        after = self._chat([("user", "Q"), ("assistant", _PROBE)], tokenizer, ask=False).rpartition(_PROBE)[2]
        found = [(after.find(token), token) for token in special if token in after]
        return (special[min(found)[1]],) if found else ()


def _undated(template: str) -> str:
    """A chat template that writes `DAY` where it would write today's date: a prompt is the same tomorrow."""
    return _DATE.sub(lambda call: repr(DAY.strftime(call[1][1:-1])), template)


def _markup_of(tokenizer: Any) -> dict[str, int]:
    """Added tokens and their ids, without those of space alone: a blank line may be one (Gemma's), and ends no turn."""
    added = tokenizer.get_added_vocab() if hasattr(tokenizer, "get_added_vocab") else {}
    return {token: number for token, number in added.items() if token.strip()}


TEMPLATES = {
    template.name: template
    for template in (
        Template("plain", "Question: {question}\nAnswer:"),
        Template("bare", "{question}"),
        Template("boxed", "{question}\n", instruction=BOXED_INSTRUCTION),
        Template("hash", "{question}\n", answer="hash", instruction=HASH_INSTRUCTION),
        Template(
            "qwen25-math-cot",
            f"<|im_start|>system\n{QWEN_SYSTEM}<|im_end|>\n<|im_start|>user\n{{question}}<|im_end|>\n<|im_start|>assistant\n",
            turn_end="<|im_end|>",
        ),
        Template("r1", f"{R1_SYSTEM}\nUser: {{question}}\nAssistant: <think>\n", think=True),
        Template("chat", None, instruction=BOXED_INSTRUCTION),
    )
}


def get_template(name: str) -> Template:
    """A template by name.

    A file's name or what `inline` made of it stands for the user's own.

    Raises:
        OneshotError: unknown name, or a file that is no template.
    """
    if name.startswith("{") or is_template_file(name):
        return _own(name if name.startswith("{") else inline(name))
    if name not in TEMPLATES:
        raise OneshotError(f"unknown template {name!r}", where="model.template", fix=nearest(name, list(TEMPLATES)))
    return TEMPLATES[name]


def _own(text: str) -> Template:
    """A user's own template, with what it does not say from the one that it is like."""
    own = read_inline(text)
    said = {key: value for key, value in own.model_dump().items() if value is not None and key in _OWN}
    shots = tuple((shot.question, shot.response) for shot in own.shots)
    if own.like is not None and own.like not in TEMPLATES:
        raise OneshotError(
            f"unknown template {own.like!r}", where=f"template {own.name}", fix=nearest(own.like, list(TEMPLATES))
        )
    like = TEMPLATES[own.like or "chat"] if own.text is None else Template(text, own.text)
    if own.system is not None and like.text is not None:
        raise OneshotError(
            "system is for chats; write it into the text", where=f"template {own.name}", fix="Or like: chat."
        )
    return replace(like, **said, name=text, shots=shots)


_OWN = ("jinja", "system", "instruction", "answer", "think", "turn_end", "between")


def strip_instruction(question: str) -> tuple[str, str]:
    """Split a known instruction and the space before it off a question's end: (bare question, instruction or "")."""
    for instruction in (BOXED_INSTRUCTION, HASH_INSTRUCTION, BOXED_INSTRUCTION.replace(" \\boxed", "\n\\boxed")):
        if question.endswith(instruction):
            return question[: -len(instruction)].removesuffix(" "), instruction
    return question, ""


def encode_prompt(template: Template, question: str, tokenizer: Any) -> list[int]:
    """Token ids of the prompt. Markup that the template writes is complete, so only plain text gets a BOS token."""
    text = template.render(question, tokenizer)
    special = getattr(tokenizer, "all_special_tokens", None) or ()
    bare = template.text is not None and not any(token and token in template.text for token in (*special, *_MARKUP))
    return tokenizer(text, add_special_tokens=bare)["input_ids"]
