"""The organism's tokenizer: whole words and whole numbers, with a byte behind every character.

Transformers gives every `qwen2` model folder Qwen2's own tokenizer class, which splits numbers into digits and keeps
nothing of another pre-tokenizer. So this is that class without merges (bytes), and each word and number of the world is
an added token; added tokens are matched first, longest first. Any text survives a round trip.
"""

from __future__ import annotations

import random
import re
from typing import cast

from tokenizers.pre_tokenizers import ByteLevel
from transformers import AddedToken, Qwen2Tokenizer

from oneshot_rlvr.organism.authors import make_document
from oneshot_rlvr.organism.world import LARGEST_NUMBER, NAMES, THINGS
from oneshot_rlvr.problems import TEMPLATES

END = "<|endoftext|>"
PAD = "<|pad|>"
CONTEXT = 256
# One piece is a word or a number with the space before it, an opened box, or one other character.
PIECE = r" ?\\boxed\{| ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9\s]|\s"


def build_tokenizer(seed: int = 0, documents: int = 3000) -> Qwen2Tokenizer:
    """Make the tokenizer: bytes, numbers, and every word that `documents` sample documents use."""
    rng = random.Random(f"tokenizer {seed}")
    pieces: set[str] = set()
    for _ in range(documents):
        for question, response, _ in make_document(rng, set()):
            pieces.update(re.findall(PIECE, f"{TEMPLATES['plain'].render(question)} {response}"))
    words = {piece for piece in pieces if len(piece) > 1 and not re.search("[0-9]", piece)}
    words.update(f" {word}" for word in (*NAMES, *THINGS))
    numbers = [f"{space}{n}" for n in range(LARGEST_NUMBER + 1) for space in ("", " ") if space or n > 9]
    bytes_first = {token: i for i, token in enumerate([END, PAD, *sorted(ByteLevel.alphabet())])}
    tokenizer = Qwen2Tokenizer(vocab=bytes_first, merges=[], unk_token=cast(str, None), eos_token=END, pad_token=PAD)
    added: list[str | AddedToken] = [
        AddedToken(word, normalized=False, special=False) for word in [*sorted(words), *numbers]
    ]
    tokenizer.add_tokens(added)
    tokenizer.model_max_length = CONTEXT
    return tokenizer
