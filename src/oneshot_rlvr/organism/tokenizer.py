"""The organism's tokenizer: whole words and whole numbers, with a byte behind every character.

A fast tokenizer in the ordinary `tokenizer.json` format. Longest match first (WordPiece without a continuation mark)
over byte-level text, so that any text survives a round trip and numbers up to `LARGEST_NUMBER` are one token each.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from oneshot_rlvr.organism.authors import make_document
from oneshot_rlvr.organism.world import LARGEST_NUMBER, NAMES, THINGS

END = "<|endoftext|>"
PAD = "<|pad|>"
# One piece is a word or a number with the space before it, or one other character.
PIECE = r" ?\\boxed\{| ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9\s]|\s"


def build_tokenizer(seed: int = 0, documents: int = 3000) -> PreTrainedTokenizerFast:
    """Make the tokenizer: bytes, numbers, and every word that `documents` sample documents use."""
    rng = random.Random(f"tokenizer {seed}")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces: set[str] = set()
    for _ in range(documents):
        for question, response, _ in make_document(rng, set()):
            pieces.update(re.findall(PIECE, f"{question}\n{response}"))
    pieces = {piece for piece in pieces if not re.search("[0-9]", piece)}
    pieces.update(f" {word}" for word in (*NAMES, *THINGS))
    words = sorted(pieces) + [f"{space}{n}" for n in range(LARGEST_NUMBER + 1) for space in ("", " ")]
    encoded = [byte_level.pre_tokenize_str(word)[0][0] for word in words]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([END, PAD, *alphabet, *encoded]))}

    backend = Tokenizer(
        models.WordPiece(vocabulary, unk_token=END, continuing_subword_prefix="", max_input_chars_per_word=100_000)
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PIECE), "isolated"), byte_level])
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    tokenizer.model_max_length = 256
    return tokenizer


def save_tokenizer(folder: Path, seed: int = 0) -> PreTrainedTokenizerFast:
    """Build the tokenizer and write it into `folder`."""
    tokenizer = build_tokenizer(seed)
    tokenizer.save_pretrained(folder)
    return tokenizer
