"""Prompt templates of one's own: a file that a run keeps whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import TEMPLATES, get_template
from oneshot_rlvr.runs import Run
from runs import tiny_run


def own_template(tmp_path: Path, text: str, name: str = "mine.yaml") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


class Lines:
    """A tokenizer with a blank line among its added tokens, as Gemma's has, and a chat without markup."""

    chat_template = "x"

    def get_added_vocab(self) -> dict[str, int]:
        return {"\n\n": 7, "<end>": 8}

    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
        return "".join(f"{turn['role']}: {turn['content']}{self.end}" for turn in turns)

    def __init__(self, end: str) -> None:
        self.end = end


def test_a_blank_line_ends_no_turn():
    assert TEMPLATES["chat"].stop_ids(Lines("\n\n")) == ()
    assert TEMPLATES["chat"].stop_ids(Lines("<end>\n\n")) == (8,)


def test_a_template_of_ones_own_has_a_system_prompt_and_shots(tokenizer, tmp_path):
    shots = "shots: [{question: '1 + 1?', response: 'It is \\boxed{2}.'}]"
    mine = get_template(own_template(tmp_path, f"like: chat\nsystem: Be brief.\ninstruction: Box it.\n{shots}\n"))
    tokenizer.chat_template, before = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<me>",
        (tokenizer.chat_template),
    )
    try:
        asked = "<system>Be brief.<user>1 + 1? Box it.<assistant>It is \\boxed{2}.<user>Q? Box it.<me>"
        assert mine.render("Q?", tokenizer) == asked
        with_jinja = get_template(own_template(tmp_path, "{{ messages[0].content }}!", "short.jinja"))
        assert with_jinja.render("Q?", tokenizer) == f"Q? {TEMPLATES['chat'].instruction}!"
        broken = get_template(own_template(tmp_path, "{{ raise_exception('no system') }}", "broken.jinja"))
        with pytest.raises(OneshotError, match="template broken: the chat template fails: no system"):
            broken.render("Q?", tokenizer)
    finally:
        tokenizer.chat_template = before
    text = get_template(own_template(tmp_path, f'text: "Q: {{question}}\\nA:"\nanswer: hash\n{shots}\n'))
    assert text.render("x") == "Q: 1 + 1?\nA:It is \\boxed{2}.\n\nQ: x\nA:"
    assert (text.title, text.answer) == ("mine", "hash")
    assert get_template(text.name) == text  # a run keeps all of it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("like: chatt\n", "Did you mean 'chat'"),
        ("system: S\n", "give one of like, text and jinja"),
        ("text: no place\n", "no place for {question}"),
        ("like: chat\ncolour: red\n", "colour: extra inputs"),
        ("like: boxed\nsystem: S\n", "system is for chats"),
        ("like: chat\nshots: [{question: Q}]\n", "shots.0.response: field required"),
        ("- a list\n", "a YAML mapping"),
        ("name: ../../evil\nlike: chat\n", "name: string should match"),
        ("a: [\n", "cannot read this template"),
    ],
)
def test_a_file_that_is_no_template_is_one_line(tmp_path, text, said):
    with pytest.raises(OneshotError, match=re.compile(re.escape(said), re.I)):
        get_template(own_template(tmp_path, text))


def test_a_run_keeps_its_template(tmp_path):
    file = own_template(tmp_path, 'text: "Question: {question}\\nAnswer:"\n')
    config, sources = resolve("grpo", "tiny", [f"model.template={file}", "run.steps=1"])
    Path(file).unlink()
    run = Run(tmp_path / "run")
    start(run, config, sources, chosen_problems(config))
    assert get_template(run.config.model.template).title == "mine"
    usual = tiny_run(tmp_path / "usual", "run.steps=1")
    assert [row["text"] for row in run.rollouts(1)] == [row["text"] for row in usual.rollouts(1)]


def test_a_prompt_is_the_same_tomorrow(tokenizer, tmp_path, monkeypatch):
    """Llama 3.2's chat template writes today's date."""
    text = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}<{{ m.content }}>{% endfor %}"
    mine = get_template(own_template(tmp_path, text, "dated.jinja"))
    assert mine.render("1 + 2?", tokenizer).startswith("26 Jul 2024<1 + 2? ")
