from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from serve_app.plugins import baselines
from serve_app.plugins.baselines import BaselineCorrupt, NotAPicture, as_png
from tests.worlds.samples import encoded

RED = encoded(Image.new("RGB", (40, 30), "red"))


def test_a_baseline_lies_beside_its_test_by_browser_and_platform() -> None:
    test = Path("suite/test_shop.py")

    assert baselines.path_of(test, "cart", None) == Path("suite/baselines/test_shop/cart.png")
    drawn = baselines.path_of(test, "cart", "firefox")
    assert drawn == Path(f"suite/baselines/test_shop/cart-firefox-{sys.platform}.png")


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_a", "test_a"),
        ("TestShop::test_a", "TestShop.test_a"),
        ("test_a[chromium]", "test_a-chromium"),
        ("test_a[a/b]", None),
        ("test_a[../../etc]", None),
        ("test_" + "a" * 300, None),
        ("test_价格", "test_价格"),
    ],
)
def test_a_tests_name_becomes_a_name_that_every_file_system_takes(test: str, name: str | None) -> None:
    made = baselines.file_name(test)

    assert baselines.is_file_name(made[:100])
    assert len(made) <= 109
    assert name is None or made == name


def test_two_tests_never_share_a_name() -> None:
    tests = [
        "test_a[a/b]",
        "test_a[a_b]",
        "test_a[a b]",
        "test_a[a:b]",
        "test_a[a::b]",
        "test_a[a.b]",
        "test_a_b",
        *("t" * n for n in (101, 102)),
    ]

    assert len({baselines.file_name(test) for test in tests}) == len(tests)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", ".hidden", "a" * 101, "a b", "C:x"])
def test_a_name_that_leads_elsewhere_is_none(name: str) -> None:
    assert not baselines.is_file_name(name)


def test_what_was_ignored_is_kept_in_the_file_and_the_pixels_stay(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"

    baselines.write(path, RED, [(1, 2, 3, 4), (5, 6, 7, 8)])

    assert baselines.ignored_in(path, path.read_bytes()) == ((1, 2, 3, 4), (5, 6, 7, 8))
    with Image.open(path) as image:
        assert image.tobytes() == Image.new("RGB", (40, 30), "red").tobytes()
    assert [each.name for each in path.parent.iterdir()] == ["a.png"]


def test_where_nothing_was_ignored_the_file_is_the_picture_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.png"

    baselines.write(path, RED, ())

    assert path.read_bytes() == RED
    assert baselines.ignored_in(path, RED) == ()


def test_a_corrupt_baseline_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    baselines.write(path, RED, [(1, 2, 3, 4)])
    whole = path.read_bytes()
    for broken in (whole[:20] + b"pairlens:ignored", whole.replace(b"[[1, 2, 3, 4]]", b"[[1, 2, 3, x]]")):
        with pytest.raises(BaselineCorrupt, match=r"The baseline .*a\.png can't be read"):
            baselines.ignored_in(path, broken)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    baselines.write(path, RED, ())

    with pytest.raises(OSError, match="cannot identify"):
        baselines.write(path, b"broken", [(1, 2, 3, 4)])

    assert path.read_bytes() == RED
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_a_file_becomes_an_upright_png_and_a_png_stays_itself() -> None:
    tall = Image.new("RGB", (4, 2), "red")
    exif = tall.getexif()
    exif[0x0112] = 6  # a quarter turn
    out = io.BytesIO()
    tall.save(out, "JPEG", exif=exif)
    own = encoded(tall)

    assert Image.open(io.BytesIO(as_png(out.getvalue()))).size == (2, 4)
    assert as_png(own) is own


@pytest.mark.parametrize("broken", [b"", b"no image", encoded(Image.new("RGB", (64, 64)))[:60]])
def test_a_file_that_cannot_be_decoded_is_said_to_be_so(broken: bytes) -> None:
    with pytest.raises(NotAPicture, match=r"can't be decoded|no image file"):
        as_png(broken)
