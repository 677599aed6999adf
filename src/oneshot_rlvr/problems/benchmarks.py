"""The public sets that have names here: the benchmarks, and what people train on.

A folder named by `ONESHOT_DATA` comes first: any problem file in it whose stem is the set's name. Otherwise it is taken
from the Hugging Face hub. Nothing is shipped: their licences differ.
"""

from __future__ import annotations

from oneshot_rlvr.problems.hub import HubSet, Part
from oneshot_rlvr.problems.templates import BOXED_INSTRUCTION, HASH_INSTRUCTION

BENCHMARKS = {
    known.name: known
    for known in (
        HubSet("math500", "MATH500", "HuggingFaceH4/MATH-500", "test", rows=500, checksum="455564:35e7c607"),
        HubSet("aime24", "AIME24", "HuggingFaceH4/aime_2024", "train", rows=30, checksum="147228:4ae8870f"),
        HubSet("amc23", "AMC23", "zwhe99/amc23", "test", rows=40, checksum="17497:e5b92bfa"),
        HubSet("minerva_math", "Minerva", "math-ai/minervamath", "test", rows=272, checksum="263372:667d6747"),
        HubSet(
            "olympiadbench",
            "OlympiadBench",
            "Hothan/OlympiadBench",
            "train",
            "OE_TO_maths_en_COMP",
            rows=675,
            checksum="1594022:5446a28f",
        ),
        HubSet("aime25", "AIME25", "yentinglin/aime_2025", "train", rows=30, checksum="12999:a64030e0"),
        HubSet("gsm8k", "GSM8K", "openai/gsm8k", "test", "main", rows=1319, licence="MIT", checksum="815481:5fe3341f"),
        HubSet("arc_easy", "ARC-E", "allenai/ai2_arc", "test", "ARC-Easy", rows=2376, licence="CC BY-SA 4.0"),
        HubSet("arc_challenge", "ARC-C", "allenai/ai2_arc", "test", "ARC-Challenge", rows=1172, licence="CC BY-SA 4.0"),
    )
}


def _openseek(name: str, which: str, shuffled: int | None, instruction: str, source: str) -> HubSet:
    """The OpenSeek run's set as one of its two scripts makes it (FlagAI-Open/OpenSeek PR 171)."""
    columns = {"question": "prompt", "answer": "answer", "solution": "reasoning"}
    part = Part(which, share=0.01, seed=42, shuffled=shuffled)
    names = {"instruction": instruction, "source": source}
    return HubSet(name, name, "notbadai/math_reasoning", "train", "default", columns=columns, part=part, **names)


TRAINING = {
    known.name: known
    for known in (
        HubSet("deepscaler", "DeepScaleR", "agentica-org/DeepScaleR-Preview-Dataset", "train", licence="MIT"),
        HubSet("math", "MATH", "DigitalLearningGmbH/MATH-lighteval", "train", licence="MIT"),
        HubSet("gsm8k_train", "GSM8K train", "openai/gsm8k", "train", "main", licence="MIT"),
        HubSet(  # GHPO's
            "math3to5_olympiads_aime",
            "MATH 3 to 5, olympiads, AIME",
            "hkgc/math3to5_olympiads_aime",
            "train",
            columns={"question": "problem", "answer": "solution", "solution": "solution_hint"},
        ),
        HubSet(
            "notbadai_math_reasoning",
            "NotBadAI math reasoning",
            "notbadai/math_reasoning",
            "train",
            "default",
            columns={"question": "prompt", "answer": "answer", "solution": "reasoning"},
        ),
        _openseek("openseek_v1", "train", None, HASH_INSTRUCTION, "openai/gsm8k"),
        _openseek("openseek_v1_test", "test", None, HASH_INSTRUCTION, "openai/gsm8k"),
        _openseek("openseek_v4", "train", 42, BOXED_INSTRUCTION, "jouw/math"),
        _openseek("openseek_v4_test", "test", 42, BOXED_INSTRUCTION, "jouw/math"),
    )
}
ON_HUB = BENCHMARKS | TRAINING


# The paper's ranking of DSR-sub (pi_j -> index), by the variance of its released accuracy history (arXiv 2504.20571).
_FIRST = (124, 267, 531, 931, 212, 25, 568, 131, 649, 724, 875, 925, 682, 100, 291, 50, 870)
_LATER = {605: 60, 606: 906, 1201: 847, 1207: 174, 1208: 770, 1209: 789}
RANKINGS = {"dsr_sub": {place: str(index) for place, index in {**dict(enumerate(_FIRST, 1)), **_LATER}.items()}}

WHERE = {"dsr_sub": "dsr_sub.parquet, of data/train/one_shot_rlvr in github.com/ypwang61/One-Shot-RLVR"}


def title_of(suite: str) -> str:
    """How a suite is called in tables."""
    return BENCHMARKS[suite].title if suite in BENCHMARKS else suite.rpartition(":")[2]
