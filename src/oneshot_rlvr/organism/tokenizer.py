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
from oneshot_rlvr.organism.families import NAMES, THINGS
from oneshot_rlvr.organism.work import LARGEST_NUMBER

END = "<|endoftext|>"
PAD = "<|pad|>"
START_TURN, END_TURN = "<|im_start|>", "<|im_end|>"
CONTEXT = 512
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# One piece is a word or a number with the space before it, an opened box, or one other character.
PIECE = r" ?\\boxed\{| ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9\s]|\s"


def build_tokenizer(seed: int = 0, documents: int = 3000) -> Qwen2Tokenizer:
    """Make the tokenizer: bytes, numbers, and every word that `documents` sample documents use."""
    rng = random.Random(f"tokenizer {seed}")
    pieces: set[str] = set()
    for _ in range(documents):
        for turn in make_document(rng, set()):
            pieces.update(re.findall(PIECE, f"{turn.prompt} {turn.response}"))
    words = {piece for piece in pieces if len(piece) > 1 and not re.search("[0-9]", piece)}
    words.update(f" {word}" for word in (*NAMES, *THINGS))
    numbers = [f"{space}{n}" for n in range(LARGEST_NUMBER + 1) for space in ("", " ") if space or n > 9]
    special = [END, PAD, START_TURN, END_TURN]
    words = {word for word in words if "im_" not in word}
    bytes_first = {token: i for i, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}
    tokenizer = Qwen2Tokenizer(vocab=bytes_first, merges=[], unk_token=cast(str, None), eos_token=END, pad_token=PAD)
    added: list[str | AddedToken] = [
        AddedToken(word, normalized=False, special=False) for word in [*sorted(words), *numbers]
    ]
    tokenizer.add_tokens([AddedToken(turn, normalized=False, special=True) for turn in (START_TURN, END_TURN)])
    tokenizer.add_tokens(added)
    tokenizer.chat_template = CHAT
    tokenizer.model_max_length = CONTEXT
    return tokenizer
