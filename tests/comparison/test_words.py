"""The text of a pair on its way into a report: when it is read, how long, and from which side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from serve_app import measurement, ocr
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.words import RESERVE_S, read_pair, until
from serve_app.core.clock import Deadline, Stop
from serve_app.core.pictures import Pixels, Upload
from serve_app.core.reading import Reading
from serve_app.ocr.model_files import ModelFilesWrong
from serve_app.ocr.quads import Quad
from serve_app.ocr.recognition import Letter, Read
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import MIB, Limits, PreprocessingSettings
from tests.ocr.drawn import PAGE, changed, picture, raster, reader
from tests.worlds.samples import config, encoded, soon


@dataclass
class Pretended:
    """Finds no line; keeps what it was asked."""

    engine: str = "pretended"
    model: str = "none"
    asked: list[str] = field(default_factory=list)

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        self.asked.append("find")
        return []

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        self.asked.append("read")
        return [Read((Letter("x", 1.0, 0.5),), np.zeros((1, 1), np.float32), {}) for _ in strips]


def read(
    one: Pixels,
    two: Pixels,
    config: ImageComparisonConfig | None = None,
    reads: ocr.Reads | None = None,
    time_s: float = 60.0,
    model_follows: bool = False,
) -> Reading:
    pair = measurement.place(raster(one), raster(two))
    stop = Stop(Deadline.after(time_s))
    return read_pair(reads, pair, pair.measure(), config or ImageComparisonConfig(), stop, model_follows=model_follows)


ONE, TWO = picture(), picture(changed("14.99", "12.99"))


def test_what_was_read_is_seen_from_the_reference_whichever_comes_first() -> None:
    for one, two, old, new in ((ONE, TWO, "14", "12"), (TWO, ONE, "12", "14")):
        found = read(one, two, reads=reader())
        ((change,),) = found.changes
        assert (change.reference, change.candidate) == (f"Price ${old}.99 each", f"Price ${new}.99 each")
        assert (change.reference_word, change.candidate_word) == (f"${old}.99", f"${new}.99")
        assert (found.status, found.engine, found.model) == ("read", "opencv", "PP-OCRv6-small")
        assert found.read_ms > 0
    gone = picture([line for line in PAGE if "LOT" not in line[3]])
    assert [each.kind for (each,) in read(ONE, gone, reads=reader()).changes] == ["removed"]
    assert [each.kind for (each,) in read(gone, ONE, reads=reader()).changes] == ["added"]


def test_nothing_is_read_where_it_is_not_wanted_or_nothing_differs() -> None:
    pretended = Pretended()
    assert read(ONE, TWO, ImageComparisonConfig(read_text=False), pretended).status == "off"
    assert read(ONE, ONE, reads=pretended).status == "nothing_to_read"
    assert read(ONE, TWO).status == "not_installed"
    assert pretended.asked == []
    found = read(ONE, TWO, reads=pretended)
    assert (found.status, found.num_lines) == ("nothing_to_read", 0)
    assert "find" in pretended.asked


@pytest.mark.parametrize(
    ("config", "is_whole"),
    [
        (ImageComparisonConfig(), False),
        (ImageComparisonConfig(focus_elements=("LOT A9914",)), True),
        (ImageComparisonConfig(comparison_aspects=("文字",)), True),
    ],
)
def test_the_whole_is_read_only_for_who_asks_for_it(config: ImageComparisonConfig, is_whole: bool) -> None:
    found = read(ONE, TWO, config, reader())
    assert (found.unchanged is not None) is is_whole
    assert (found.num_lines > 2) is is_whole
    assert len(found.elements) == len(config.focus_elements)
    for each in found.elements:
        assert each is not None
        assert (each.status, each.reference) == ("unchanged", "LOT A9914")


@pytest.mark.parametrize(
    ("time_s", "follows", "status"),
    [(RESERVE_S, False, "timed_out"), (RESERVE_S, True, "timed_out"), (60.0, True, "nothing_to_read")],
)
def test_time_for_the_report_is_left(time_s: float, follows: bool, status: str) -> None:
    found = read(ONE, TWO, reads=Pretended(), time_s=time_s, model_follows=follows)
    assert found.status == status


def test_a_model_that_follows_keeps_half_of_the_time() -> None:
    alone, before = (until(Deadline.after(20), model_follows=follows) for follows in (False, True))
    assert alone.remaining_s == pytest.approx(20 - RESERVE_S, abs=0.5)
    assert before.remaining_s == pytest.approx((20 - RESERVE_S) / 2, abs=0.5)


def test_networks_that_are_not_ours_are_a_report_without_text(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(Pretended):
        def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
            raise ModelFilesWrong("x.onnx is not the file of rapidocr 3.10.0")

    assert read(ONE, TWO, reads=Wrong()).status == "not_installed"
    assert "x.onnx is not the file" in caplog.text


def test_nothing_that_was_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert read(ONE, TWO, reads=reader()).changes
    assert "14.99" not in caplog.text
    assert "Price" not in caplog.text


STRONGER = TWO.copy()
STRONGER[240:290, 300:470] = (20, 90, 160)  # larger than a digit


def upload(pixels: Pixels) -> Upload:
    return Upload(encoded(Image.fromarray(pixels)))


def examiner(budget_bytes: int = 1536 * MIB, reads: ocr.Reads | None = None) -> Examiner:
    settings = PreprocessingSettings(memory_budget_bytes=budget_bytes)
    return Examiner(Limits(), settings, shows_images=False, reader=reads)


async def test_a_change_of_text_leads_the_differences() -> None:
    found = await examiner(reads=reader()).examine(upload(ONE), upload(STRONGER), config(), soon())
    first, second = found.measurement.differences
    assert (first.reference_box, second.reference_box) != (None, None)
    assert first.changed_pixels < second.changed_pixels
    assert first.severity >= max(0.5, second.severity)
    assert [len(changes) for changes in found.reading.changes] == [1, 0]
    assert found.reading.status == "read"


async def test_reading_takes_time_of_its_own() -> None:
    found = await examiner(reads=reader()).examine(upload(ONE), upload(STRONGER), config(), soon())
    assert found.reading.read_ms > 0
    assert found.measure_ms > 0
    without = await examiner().examine(upload(ONE), upload(STRONGER), config(), soon())
    assert (without.reading.status, without.reading.read_ms) == ("not_installed", 0.0)


@pytest.mark.parametrize(
    ("budget_bytes", "status"),
    [(2 * ocr.WORKING_BYTES, "nothing_to_read"), (2 * ocr.WORKING_BYTES - 1, "not_installed")],
)
async def test_the_networks_memory_is_promised_before_any_pair(budget_bytes: int, status: str) -> None:
    """A budget that wouldn't leave pairs as much again does without."""
    pretended = Pretended()
    stage = examiner(budget_bytes, pretended)
    found = await stage.examine(upload(ONE), upload(STRONGER), config(), soon())
    assert found.reading.status == status
    taken = ocr.WORKING_BYTES if status != "not_installed" else 0
    assert stage.budget.free_bytes == budget_bytes - taken


async def test_ignored_places_are_never_read() -> None:
    asked = config(ignore_regions=[[0, 100, 480, 50], [300, 240, 170, 50]], focus_elements=["“Price $14.99 each”"])
    found = await examiner(reads=reader()).examine(upload(ONE), upload(STRONGER), asked, soon())
    assert found.measurement.differences == ()
    assert found.reading.status == "nothing_to_read"
    asked = config(ignore_regions=[[300, 240, 170, 50]], focus_elements=["“Price $14.99 each”"])
    found = await examiner(reads=reader()).examine(upload(ONE), upload(STRONGER), asked, soon())
    assert [change.candidate for changes in found.reading.changes for change in changes] == ["Price $12.99 each"]
