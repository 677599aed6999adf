"""`oneshot model show` and `oneshot model import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from oneshot_rlvr.commands.terminal import Settings, ended_well, plain, show

model_app = typer.Typer(
    help="Look at a model before the first run; make a model folder of a GGUF file.", no_args_is_help=True
)
WIDE = 400  # characters of an answer


@model_app.command("show")
@ended_well
def show_model(
    model: Annotated[str, typer.Argument(help="Model profile, folder, .gguf file, or hub name.")],
    recipe: Annotated[str, typer.Option(help="What it would be trained with.")] = "grpo",
    question: Annotated[str | None, typer.Option(help="Ask this...")] = None,
    answer: Annotated[str | None, typer.Option(help="...whose answer is this.")] = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show a model's sizes, its exact prompt, what ends an answer, the cost of a step, and four graded answers."""
    from oneshot_rlvr.commands.showing import own_problem, shown

    found = shown(model, recipe, settings or [], own_problem(question, answer))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for line in (*_about(found), "", *_asked(found), "", *_cost(found), "", *_answered(found)):
        show(plain(line))


def _about(found: dict[str, Any]) -> list[str]:
    tied = "tied" if found["tied"] else "untied"
    lines = [
        f"{found['model']}: {found['architecture']}, {found['parameters'] / 1e6:.1f} M parameters, {found['layers']} "
        f"layers of {found['hidden']}, vocabulary {found['vocabulary']} ({tied}), {found['places']} places, "
        f"{found['dtype']} on {found['device']}"
    ]
    if (gguf := found["gguf"]) is not None:
        kinds = ", ".join(f"{count} {kind}" for kind, count in gguf["quantisation"].items())
        lines.append(f"from {gguf['file']}, sha256 {gguf['sha256'][:16]}..., tensors: {kinds}")
    return lines


def _asked(found: dict[str, Any]) -> list[str]:
    chat = "a" if found["has_chat_template"] else "no"
    lines = [f"Template {found['template']} ({found['template_from']}); the tokenizer has {chat} chat template."]
    lines.append(f"Prompt: {found['prompt']!r}")
    tokens = "|".join(repr(token)[1:-1] for token in found["prompt_tokens"])
    lines.append(f"{len(found['prompt_ids'])} tokens: {tokens}")
    ends = "; ".join(
        [f"{stop['text']!r} ({stop['id']}, {', '.join(stop['from'])})" for stop in found["stops"]]
        + [f"{text!r} (sampling.stop_strings)" for text in found["stop_strings"]]
    )
    lines.append(f"An answer ends with: {ends}; or after {found['max_new_tokens']} tokens.")
    shared = "yes" if found["prompts_shared"] else f"no, slower with the same result: {found['why_not_shared']}"
    return [*lines, f"A prompt is computed once for all of its rollouts: {shared}."]


def _cost(found: dict[str, Any]) -> list[str]:
    from oneshot_rlvr.commands.patience import spoken

    plan = found["plan"]
    if plan is None:
        return ["The rates of this device, or the sizes of this architecture, are not known: no plan."]
    fits = "fits in" if plan["fits"] else "DOES NOT FIT in"
    cost = (
        f"A step of the recipe: about {spoken(plan['seconds']['step'])} at a mean length of {plan['mean_length']:.0f} "
        f"tokens; peak {plan['memory_gib']['peak']:.2f} GiB, {fits} {plan['memory_of_device_gib']:.0f} GiB."
    )
    return [cost, found["long_step"]] if found["long_step"] else [cost]


def _answered(found: dict[str, Any]) -> list[str]:
    lines = []
    if found["shown_tokens"] < found["max_new_tokens"]:
        lines.append(f"Four answers, cut off after {found['shown_tokens']} tokens here:")
    for number, row in enumerate(found["answers"], 1):
        text = row["text"] if len(row["text"]) <= WIDE else row["text"][:WIDE] + "..."
        lines.append(f"{number}. {row['outcome']} (answer {row['extracted']!r}, {row['tokens']} tokens): {text!r}")
    return lines


@model_app.command("import")
@ended_well
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.gguf", help="A GGUF file of a model.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
) -> None:
    """Dequantise a GGUF file into a Hugging Face folder, which every other command reads (extra `gguf`)."""
    from oneshot_rlvr.policy.gguf import import_gguf

    record = import_gguf(file, out)
    kinds = ", ".join(f"{count} {kind}" for kind, count in record["quantisation"].items())
    tied = ", output tied to the embeddings" if record["tied"] else ""
    print(f"{record['parameters'] / 1e6:.1f} M parameters from {kinds}{tied}; sha256 {record['sha256']}")
    print(f"Next: oneshot model show {out}")
