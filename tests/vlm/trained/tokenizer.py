"""A tokenizer for which the product's sentences are single tokens, so that a whole prompt is some 150 of them.
No model: the product's phrases in, a tokenizer out. Any other text is written in bytes.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from serve_app.comparison.dialogue.phrases import PHRASES, Phrases
from serve_app.vlm.local.lexicon import ANSWER_OPENING
from tests.worlds.checkpoints import CHATML, QWEN_IMAGE, QWEN_TOKENS

_JSON = (ANSWER_OPENING, '","box', '":[', ",", '],"explanation":"', '":null,"explanation":"', '","explanation":"')
_MORE_JSON = (
    '","description":"',
    '"}',
    '{"findings',
    '":[]}',
    '{"summary":"',
    '"',
    '".',
    '"。',
    ": ",
    "user\n",
    "assistant\n",
)
_BYTE, _PIECE = -20.0, -1.0  # log probabilities: the fewest pieces win, and a piece wins over bytes


def make(words: tuple[str, ...]) -> Any:
    """`words`: what answers and questions hold beside the product's phrases, a token each."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys([*_JSON, *_MORE_JSON, *_numbers(), *words, *_phrases()])
    written = dict.fromkeys(cut.pre_tokenize_str(piece)[0][0] for piece in pieces if piece)
    vocabulary = [(byte, _BYTE) for byte in alphabet]
    vocabulary += [(piece, _PIECE) for piece in written if piece not in set(alphabet)]
    inner = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    inner.pre_tokenizer = cut
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(QWEN_TOKENS))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=8192
    )
    tokenizer.chat_template = CHATML.replace("IMAGE", QWEN_IMAGE)
    return tokenizer


def _numbers() -> Iterator[str]:
    yield from map(str, (*range(101), *range(150, 1001, 50)))


def _phrases() -> Iterator[str]:
    for phrases in PHRASES.values():
        for field in dataclasses.fields(Phrases):
            yield from _of(phrases, getattr(phrases, field.name))
        yield from (phrases.area.format(number=number) for number in range(1, 10))


def _of(phrases: Phrases, value: Any) -> Iterator[str]:
    """What stands between the places for names and numbers, and each option as instructions tell it."""
    if isinstance(value, str):
        yield from (literal for literal, *_ in string.Formatter().parse(value))
        return
    for one in value:
        if isinstance(one, str):
            yield one
            continue
        label, meaning = one
        told = phrases.option.format(label=label, meaning=meaning)
        yield from (label, meaning, told, phrases.separator + told)
