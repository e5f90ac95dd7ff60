"""The checkpoint's form, and lessons as its tensors: all questions of a prompt as branches of one sequence.
No training, no scenes: a model, a processor, batches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from serve_app.comparison.dialogue.phrases import PHRASES
from serve_app.vlm.local import dialogue, loading
from serve_app.vlm.local.lexicon import ANSWER_OPENING, Lexicon
from tests.vlm.trained import tokenizer
from tests.vlm.trained.lessons import WORDS, Lesson
from tests.worlds.checkpoints import a_text_config, mrope, qwen_ids, qwen_images

WIDTH: Final = 64
LAYERS: Final = 4
LABEL, NUMBER, TEXT = 1.0, 0.5, 0.1  # weights of an answer's tokens in the loss
_PREFIX, _PAD = 0, -1  # segments of a sequence that aren't questions


def save_untrained(folder: Path) -> None:
    """All files of a Qwen3-VL of half a million parameters, weights drawn by torch's generator."""
    words = tokenizer.make(WORDS)
    config = transformers.Qwen3VLConfig(
        text_config=a_text_config(
            words,
            WIDTH,
            LAYERS,
            rope_parameters=mrope([4, 2, 2], WIDTH // 4, interleaved=True),
            num_key_value_heads=4,
            tie_word_embeddings=True,
            initializer_range=0.06,
        ),
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "initializer_range": 0.06,
        },
        tie_word_embeddings=True,
        **qwen_ids(words),
    )
    model = transformers.Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = words.eos_token_id
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    qwen_images().save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Qwen3VLProcessor"}))


@dataclass(frozen=True)
class Item:
    """A lesson in tokens. `segments`: 0 the prompt, then 1 and on for each question; `weights`: of each token as
    something to be told by those before it; `found`: index of the token before an answer, and cell and state of what
    it is about.
    """

    lesson: Lesson
    ids: torch.Tensor
    types: torch.Tensor
    positions: torch.Tensor  # (3, tokens)
    segments: torch.Tensor
    weights: torch.Tensor
    found: tuple[tuple[int, int, int], ...]


class Encoder:
    """Turns lessons into what the product would feed for them."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self._lexicon = Lexicon(processor.tokenizer)
        self._numbers = set(self._lexicon.template(",".join(map(str, range(0, 1001, 50)))))
        self._numbers -= set(self._lexicon.template(","))
        words = (word for phrases in PHRASES.values() for word, _ in phrases.levels)
        self.levels = torch.tensor([self._lexicon.template(f'{ANSWER_OPENING}{word}"')[1] for word in words])

    def item(self, lesson: Lesson) -> Item:
        before, after = dialogue.around(self._processor, lesson.instructions, 2, lesson.captions)
        grids = self._processor.image_processor([*lesson.pictures], return_tensors="pt")["image_grid_thw"]
        ids, types = self._prompt(before, grids)
        at, _ = self._model.model.get_rope_index(
            torch.tensor([ids]), torch.tensor([types]), image_grid_thw=grids, attention_mask=None
        )
        positions = [at[:, 0]]
        segments, weights = [_PREFIX] * len(ids), [0.0] * len(ids)
        start = int(at.max()) + 1
        found = []
        for number, (question, answer) in enumerate(lesson.asked, 1):
            asked = [*self._lexicon.data(question), *self._lexicon.template(after)]
            told = self._lexicon.template(answer)
            if lesson.found and (about := lesson.found[number - 1]) is not None:
                found.append((len(ids) + len(asked), *about))
            ids += asked + told
            segments += [number] * (len(asked) + len(told))
            weights += [0.0] * len(asked) + self._weights(told, labelled=answer.startswith(ANSWER_OPENING))
            positions.append(torch.arange(start, start + len(asked) + len(told)).expand(3, -1))
        types += [0] * (len(ids) - len(types))
        return Item(
            lesson,
            torch.tensor(ids),
            torch.tensor(types),
            torch.cat(positions, 1),
            torch.tensor(segments),
            torch.tensor(weights),
            tuple(found),
        )

    def batch(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """The model's inputs with `segments` and `weights`, padded at the end; every question sees its prompt and
        itself."""
        length = max(len(one.ids) for one in items)

        def padded(name: str, value: int) -> torch.Tensor:
            rows = [getattr(one, name) for one in items]
            return torch.stack([torch.nn.functional.pad(row, (0, length - row.shape[-1]), value=value) for row in rows])

        segments = padded("segments", _PAD)
        same = segments[:, :, None] == segments[:, None, :]
        seen = (same | (segments[:, None, :] == _PREFIX)).tril()
        pictures = [picture for one in items for picture in one.lesson.pictures]
        seen_pictures = self._processor.image_processor(pictures, return_tensors="pt")
        return {
            "input_ids": padded("ids", self._processor.tokenizer.pad_token_id),
            "mm_token_type_ids": padded("types", 0),
            "position_ids": padded("positions", 0).transpose(0, 1),
            "attention_mask": seen[:, None],
            "weights": padded("weights", 0),
            **seen_pictures,
        }

    def _prompt(self, before: str, grids: torch.Tensor) -> tuple[list[int], list[int]]:
        first, *others = before.split(self._processor.image_token)
        ids = self._lexicon.template(first)
        types = [0] * len(ids)
        for grid, text in zip(grids, others, strict=True):
            count = int(grid.prod()) // self._processor.image_processor.merge_size**2
            piece = self._lexicon.template(text)
            ids += [self._processor.image_token_id] * count + piece
            types += [1] * count + [0] * len(piece)
        return ids, types

    def _weights(self, told: Sequence[int], *, labelled: bool) -> list[float]:
        weights = [NUMBER if token in self._numbers else TEXT for token in told]
        weights[0] = 0.0  # what the product puts into the model's mouth
        if labelled:
            weights[1] = LABEL
        return weights


def load(folder: Path) -> tuple[Any, Any]:
    """Model and processor for training."""
    model = transformers.Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model, loading.processor(str(folder), {})
