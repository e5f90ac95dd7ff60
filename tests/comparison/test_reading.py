"""The reader in the CPU stage: its memory, its time, and what its answer does to the order of differences."""

from __future__ import annotations

import pytest

from serve_app import ocr
from serve_app.comparison.examiner import Examiner
from serve_app.core.pictures import Upload
from serve_app.settings import MIB, Limits, PreprocessingSettings
from tests.comparison.test_words import Pretended
from tests.ocr.drawn import changed, picture, reader
from tests.worlds.samples import config, encoded, soon

ONE = picture()
TWO = picture(changed("14.99", "12.99")).copy()
TWO[240:290, 300:470] = (20, 90, 160)  # larger than a digit, and stronger


def upload(pixels: object) -> Upload:
    from PIL import Image

    return Upload(encoded(Image.fromarray(pixels)))  # type: ignore[arg-type]


def examiner(budget_bytes: int = 1536 * MIB, reads: ocr.Reads | None = None) -> Examiner:
    settings = PreprocessingSettings(memory_budget_bytes=budget_bytes)
    return Examiner(Limits(), settings, shows_images=False, reader=reads)


async def test_a_change_of_text_leads_the_differences() -> None:
    found = await examiner(reads=reader()).examine(upload(ONE), upload(TWO), config(), soon())
    first, second = found.measurement.differences
    assert (first.reference_box, second.reference_box) != (None, None)
    assert first.changed_pixels < second.changed_pixels
    assert first.severity >= max(0.5, second.severity)
    assert [len(changes) for changes in found.reading.changes] == [1, 0]
    assert found.reading.status == "read"


async def test_reading_takes_time_of_its_own() -> None:
    found = await examiner(reads=reader()).examine(upload(ONE), upload(TWO), config(), soon())
    assert found.reading.read_ms > 0
    assert found.measure_ms > 0
    without = await examiner().examine(upload(ONE), upload(TWO), config(), soon())
    assert (without.reading.status, without.reading.read_ms) == ("not_installed", 0.0)


@pytest.mark.parametrize(
    ("budget_bytes", "status"),
    [(2 * ocr.WORKING_BYTES, "nothing_to_read"), (2 * ocr.WORKING_BYTES - 1, "not_installed")],
)
async def test_the_networks_memory_is_promised_before_any_pair(budget_bytes: int, status: str) -> None:
    """A budget that wouldn't leave pairs as much again does without."""
    pretended = Pretended()
    stage = examiner(budget_bytes, pretended)
    found = await stage.examine(upload(ONE), upload(TWO), config(), soon())
    assert found.reading.status == status
    taken = ocr.WORKING_BYTES if status != "not_installed" else 0
    assert stage._budget.free_bytes == budget_bytes - taken


async def test_ignored_places_are_never_read() -> None:
    asked = config(ignore_regions=[[0, 100, 480, 50], [300, 240, 170, 50]], focus_elements=["“Price $14.99 each”"])
    found = await examiner(reads=reader()).examine(upload(ONE), upload(TWO), asked, soon())
    assert found.measurement.differences == ()
    assert found.reading.status == "nothing_to_read"
    asked = config(ignore_regions=[[300, 240, 170, 50]], focus_elements=["“Price $14.99 each”"])
    found = await examiner(reads=reader()).examine(upload(ONE), upload(TWO), asked, soon())
    assert [change.candidate for changes in found.reading.changes for change in changes] == ["Price $12.99 each"]
