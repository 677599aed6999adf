"""Ways to evaluate, by name: how often each benchmark is sampled, how it is asked and graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.rollout import SamplingParams

PAPER_SUITES = ("math500", "aime24", "amc23", "minerva_math", "olympiadbench", "aime25")
SMALL_SUITES = ("aime24", "aime25", "amc23")  # sampled more often
BOUNDS = {  # least and most
    "samples": (1, 100_000),
    "max_new_tokens": (1, 10_000_000),
    "temperature": (0.01, 100),
    "limit": (1, 100_000_000),
}
OPENSEEK_SUITES = ("minerva_math", "gsm8k", "amc23", "olympiadbench", "math500", "aime24")


@dataclass(frozen=True)
class Sampling:
    """`samples` responses to each problem; `greedy` adds a greedy one, which is scored by itself.

    Temperature 0 makes the samples greedy: then one is enough. What ends a response besides the model's end tokens
    comes from the model's configuration (`stop_ids`, `stop_strings`).
    """

    samples: int = 8
    temperature: float = 0.6
    top_p: float = 1.0
    greedy: bool = True
    max_new_tokens: int = 3072
    seed: int = 0
    stop_ids: tuple[int, ...] = field(default=(), repr=False)
    stop_strings: tuple[str, ...] = field(default=(), repr=False)

    def params(self, turn_end: Sequence[int] = ()) -> SamplingParams:
        """The samples' settings; `turn_end` are the template's stop ids."""
        return SamplingParams(
            self.temperature,
            self.top_p,
            max_new_tokens=self.max_new_tokens,
            stop_ids=(*self.stop_ids, *turn_end),
            stop_strings=self.stop_strings,
            seed=(self.seed,),
        )

    def greedy_params(self, turn_end: Sequence[int] = ()) -> SamplingParams:
        """The greedy response's."""
        return replace(self.params(turn_end), temperature=0.0, top_p=1.0, seed=(0,))


GREEDY = Sampling(samples=1, temperature=0.0, greedy=False)


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate.

    `by_suite` overrides `sampling` for named benchmarks; both take length and seed from here. `max_new_tokens` 0 is the
    model's configured length, a `template` of None its configured template. `base_templates` are others under which
    the base model is asked too, so that a gain is not only a better way of asking. `suites` are what is evaluated if
    nothing is named, none the default ones (`problems.default_suites`); `changed` says what of it a user has changed.
    """

    name: str = "honest"
    says: str = ""
    sampling: Sampling = Sampling()
    by_suite: Mapping[str, Sampling] = field(default_factory=dict)
    max_new_tokens: int = 0
    template: str | None = None
    mode: str = "default"
    fallback: bool = False
    base_templates: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    seed: int = 0
    changed: tuple[str, ...] = ()

    def changed_by(self, changes: Mapping[str, Any], sampling: Mapping[str, Any], limit: int | None) -> Protocol:
        """This protocol with a user's changes of it, of its sampling, and of the problems asked; None changes nothing.

        Raises:
            OneshotError: more samples of a greedy protocol, or a number that is nobody's evaluation.
        """
        given: dict[str, Any] = {"limit": limit, **changes, **sampling}
        for option, (least, most) in BOUNDS.items():
            if given.get(option) is not None and not least <= given[option] <= most:
                raise OneshotError(
                    f"{option}={given[option]:.3g} is no number for it",
                    where="evaluation",
                    fix=f"From {least} to {most:,}.",
                )
        changes, sampling = ({k: v for k, v in table.items() if v is not None} for table in (changes, sampling))
        names = tuple(f"{k}={v}" for k, v in (changes | sampling | ({"limit": limit} if limit else {})).items())
        if sampling.get("samples", 1) > 1 and "temperature" not in sampling and self.sampling.temperature == 0:
            raise OneshotError(
                "this protocol is greedy, so more samples would all be equal",
                where="--samples",
                fix="Give --temperature too.",
            )
        by_suite = {name: replace(one, **sampling) for name, one in self.by_suite.items()}
        return replace(self, **changes, sampling=replace(self.sampling, **sampling), by_suite=by_suite, changed=names)

    def sampling_of(self, suite: str) -> Sampling:
        """How this benchmark is sampled."""
        return replace(
            self.by_suite.get(suite.partition(".")[0], self.sampling),
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )


def _often(sampling: Sampling, *suites: str) -> Mapping[str, Sampling]:
    return dict.fromkeys(suites, sampling)


_AVG8 = Sampling(8, 0.6, greedy=False)
_R1_16, _R1_64 = Sampling(16, 0.6, 0.95, greedy=False), Sampling(64, 0.6, 0.95, greedy=False)


def _r1(name: str, says: str, tokens: int) -> Protocol:
    often = _often(_R1_64, *SMALL_SUITES)
    rules = {"mode": "qwen-eval", "fallback": True, "suites": PAPER_SUITES}
    return Protocol(name, says, _R1_16, often, max_new_tokens=tokens, **rules)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "honest",
            "avg@8 at 0.6 and greedy, with intervals; validation chooses the checkpoint; the base under more templates",
            base_templates=("plain", "boxed", "chat"),
        ),
        Protocol(
            "paper",
            "arXiv 2504.20571: greedy, but avg@8 at 0.6 for AIME and AMC; 3072 tokens; answers without a box may count",
            GREEDY,
            _often(_AVG8, *SMALL_SUITES),
            max_new_tokens=3072,
            template="qwen25-math-cot",
            mode="qwen-eval",
            fallback=True,
            suites=PAPER_SUITES,
        ),
        Protocol(
            "released-validation",
            "what the paper's training code logs every 20 steps: greedy MATH500 under the training reward, in the box",
            GREEDY,
            max_new_tokens=3072,
            template="qwen25-math-cot",
            mode="released",
            suites=("math500",),
        ),
        _r1("r1-8k", "the paper's for R1-Distill: 0.6 / 0.95, avg@16, avg@64 for AIME and AMC, 8192 tokens", 8192),
        _r1("r1-32k", "as r1-8k with 32768 tokens", 32768),
        Protocol(
            "openseek",
            "the OpenSeek run's six sets: greedy, boxed, 512 tokens; its grader is not known (try --mode qwen-eval)",
            GREEDY,
            max_new_tokens=512,
            template="boxed",
            suites=OPENSEEK_SUITES,
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """A protocol by name.

    Raises:
        OneshotError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise OneshotError(
            f"unknown protocol {name!r}",
            where="--protocol",
            fix=f"{nearest(name, list(PROTOCOLS))} There are {', '.join(PROTOCOLS)}.",
        )
    return PROTOCOLS[name]
