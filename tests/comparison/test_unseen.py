"""What wasn't looked at is said in the warnings and the summary, and then nothing is called identical."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
from PIL import Image

from serve_app.comparison.pipeline import Pipeline
from serve_app.core.pictures import Unseen, UnseenKind, Upload
from serve_app.errors import InvalidConfig
from serve_app.local import open_pipeline
from serve_app.schema import ComparisonReport, Language
from serve_app.settings import Settings
from tests.worlds.imaging_files import chunk, png
from tests.worlds.samples import card, config, encoded
from tests.worlds.tagged import png_of

RAMP = np.linspace(0, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)


@pytest.fixture
async def pipeline() -> AsyncIterator[Pipeline]:
    async with open_pipeline(Settings()) as opened:
        yield opened


async def compare(pipeline: Pipeline, one: bytes, two: bytes, **fields: object) -> ComparisonReport:
    asked = config(**fields)
    return await pipeline.compare(Upload(one), Upload(two), asked, pipeline.deadline(asked))


def frames(kind: str, *colours: str) -> bytes:
    first, *others = [card(colour) for colour in colours]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others)
    return buffer.getvalue()


def deep(values: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    return buffer.getvalue()


def said(report: ComparisonReport, kind: UnseenKind, word: str) -> bool:
    """Whether it is in the warnings and in the summary, and nothing is called identical."""
    found = [warning for warning in report.warnings if word in warning]
    return len(found) == 1 and found[0] in report.summary and not report.measurement.identical


@pytest.mark.parametrize(("kind", "word"), [("GIF", "frames"), ("TIFF", "pages"), ("WEBP", "frames")])
async def test_other_frames_are_named(pipeline: Pipeline, kind: str, word: str) -> None:
    one, two = frames(kind, "red", "blue"), frames(kind, "red", "lime")
    report = await compare(pipeline, one, two)
    assert said(report, "frames", word)
    assert (report.verdict, report.similarity, report.differences) == ("match", 1.0, ())
    second = await compare(pipeline, one, two, frame=1)
    assert len(second.differences) == 1
    assert second.report_id != report.report_id
    with pytest.raises(InvalidConfig):
        await compare(pipeline, one, two, frame=2)


async def test_one_sides_further_pages_are_named_as_its_own(pipeline: Pipeline) -> None:
    report = await compare(pipeline, frames("TIFF", "red"), frames("TIFF", "red", "red"))
    (warning,) = report.warnings
    assert "the candidate" in warning
    assert not report.measurement.identical
    (warning,) = (await compare(pipeline, frames("TIFF", "red", "red"), frames("TIFF", "red"))).warnings
    assert "the reference" in warning


@pytest.mark.parametrize("data", [frames("GIF", "red", "blue"), frames("TIFF", "red", "blue"), deep(RAMP)])
async def test_a_file_against_itself_is_identical_whatever_is_in_it(pipeline: Pipeline, data: bytes) -> None:
    report = await compare(pipeline, data, data)
    assert report.measurement.identical
    assert report.warnings == ()


async def test_finer_samples_are_compared_before_they_are_reduced(pipeline: Pipeline) -> None:
    again = await compare(pipeline, deep(RAMP), deep(RAMP, "TIFF"))
    assert again.measurement.identical
    assert again.warnings == ()
    finer = await compare(pipeline, deep(RAMP), deep(RAMP + (RAMP % 256 < 200)))
    assert said(finer, "bits", "8 bits")
    assert finer.verdict == "match"


async def test_samples_that_nobody_could_read_are_not_called_equal(pipeline: Pipeline) -> None:
    """Of 16-bit colour only 8 bits reach us."""
    rows = [b"".join(b"\0" + bytes((7, low)) * 3 * 8 for _ in range(8)) for low in (1, 2)]
    one, two = (png(8, 8, 16, 2, body).data for body in rows)
    assert said(await compare(pipeline, one, two), "bits", "8 bits")


async def test_low_samples_that_were_compared_are_not_named(pipeline: Pipeline) -> None:
    report = await compare(pipeline, deep(RAMP >> 4), deep(RAMP >> 4, "TIFF"))
    assert report.measurement.identical
    assert report.warnings == ()


async def test_a_transfer_that_is_not_applied_is_named(pipeline: Pipeline) -> None:
    picture = np.asarray(card("red"))
    tagged = png_of(picture, chunk(b"cICP", bytes((9, 16, 0, 1)))).data
    report = await compare(pipeline, encoded(card("red")), tagged)
    assert said(report, "hdr", "PQ")
    assert "the candidate" in report.warnings[0]
    code = png_of(picture, chunk(b"cICP", bytes((99, 13, 0, 1)))).data
    assert said(await compare(pipeline, code, encoded(card("red"))), "colour", "99/13")


async def test_low_samples_are_named(pipeline: Pipeline) -> None:
    dark = RAMP >> 4
    patched = dark.copy()
    patched[:8, :8] += 400
    report = await compare(pipeline, deep(dark, "TIFF"), deep(patched, "TIFF"))
    assert any("12 of its 16 bits" in warning for warning in report.warnings)


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_words_are_the_callers(pipeline: Pipeline, language: Language) -> None:
    report = await compare(pipeline, frames("GIF", "red", "blue"), frames("GIF", "red", "lime"), language=language)
    assert ("其他帧未查看" in report.summary) == (language == "zh")
    assert ("两个文件" if language == "zh" else "each of the two files") in report.warnings[0]


def test_every_kind_has_words() -> None:
    from serve_app.comparison.sentences import SENTENCES

    for say in SENTENCES.values():
        for kind in ("frames", "pages", "bits", "range", "hdr", "colour"):
            (sentence,) = say.unseen_parts({Unseen(kind, "7"): ("reference", "candidate")})
            assert "{" not in sentence
