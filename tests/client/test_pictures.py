"""What may be handed over as a picture, and that nothing of it is lost on the way."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import pairlens
from serve_app.client.pictures import Source, source
from serve_app.errors import ImageRejected
from tests.worlds.samples import card, encoded


def read_back(sent: Source) -> Image.Image:
    return Image.open(io.BytesIO(sent.read()))


def test_bytes_and_paths_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    for given in (b"content", bytearray(b"content"), memoryview(b"content"), str(path), path):
        sent = source(given, "reference")
        assert sent.read() == b"content"
        assert sent.digest() == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert source(path, "reference").content == path  # not read before it is sent
    assert (source(path, "reference").name, source(b"", "candidate").name) == ("a.png", "candidate")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_an_image_keeps_every_value_of_its_pixels(mode: str) -> None:
    rng = np.random.default_rng(1)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (5, 7)).astype(np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (5, 7, 4)).astype(np.uint8)).convert(mode)
    found = read_back(source(image, "reference"))
    assert np.array_equal(np.asarray(found.convert("RGBA")), np.asarray(image.convert("RGBA")))
    if mode == "I;16":
        assert np.array_equal(np.asarray(found), np.asarray(image))


def test_an_image_brings_along_how_it_is_turned_and_what_its_colours_mean() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(card(), "JPEG", exif=exif.tobytes(), icc_profile=b"profile", quality=95)))
    found = read_back(source(turned, "reference"))
    assert (found.getexif()[0x0112], found.info["icc_profile"]) == (6, b"profile")


def test_a_picture_is_the_same_in_every_form(tmp_path: Path) -> None:
    image = card()
    image.save(tmp_path / "a.png")
    for given in (image, np.asarray(image), np.asarray(image)[:, ::-1][:, ::-1], encoded(image), tmp_path / "a.png"):
        assert pairlens.compare(tmp_path / "a.png", given).measurement.identical


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.zeros((3, 4), np.uint8), "L"),
        (np.zeros((3, 4, 1), np.uint8), "L"),
        (np.ones((3, 4), bool), "L"),
        (np.zeros((3, 4), np.uint16), "I;16"),
        (np.zeros((3, 4, 3), np.uint8), "RGB"),
        (np.zeros((3, 4, 4), np.uint8), "RGBA"),
    ],
)
def test_arrays_of_bytes_bools_and_grey_of_16_bits_are_pictures(array: Any, mode: str) -> None:
    found = read_back(source(array, "reference"))
    assert (found.mode, found.size) == (mode, (4, 3))
    assert np.asarray(found).max() == (255 if array.dtype == bool else 0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[0, 7, 255]], np.int64), [0, 7, 255]),
        (np.array([[[1, 2, 3, 4]]], np.uint16), [(1, 2, 3, 4)]),
        (np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 1, 3)), [(0, 1, 2), (3, 4, 5)]),
    ],
)
def test_other_numbers_are_scaled_by_their_kind(array: Any, expected: list[object]) -> None:
    assert list(read_back(source(array, "reference")).get_flattened_data()) == expected


def test_a_figure_is_drawn_as_large_as_it_says_and_the_same_every_time() -> None:
    mpl.use("agg")

    def drawn() -> bytes:
        figure = Figure(figsize=(3, 2), dpi=50)
        figure.subplots().plot([1, 3, 2])
        with mpl.rc_context({"savefig.dpi": 300, "savefig.bbox": "tight"}):
            return source(figure, "reference").read()

    assert drawn() == drawn()
    assert Image.open(io.BytesIO(drawn())).size == (150, 100)


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 4), 1.5),
        np.full((3, 4, 3), np.nan, np.float32),
        np.full((3, 4, 3), 256, np.uint16),
        np.full((3, 4), -1),
        np.array([["a"]]),
        np.zeros((3, 4, 2), np.uint8),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((2, 3, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_by_shape_and_type(array: Any) -> None:
    with pytest.raises(ImageRejected, match=r"An array of shape \(.*no picture") as caught:
        source(array, "candidate")
    assert caught.value.image == "candidate"
    assert array.dtype.name in str(caught.value)


def test_what_has_no_lossless_form_is_refused() -> None:
    with pytest.raises(ImageRejected, match="mode F can't be sent"):
        source(Image.new("F", (2, 2)), "reference")
    for wrong in (None, 7, object(), [1, 2]):
        with pytest.raises(TypeError, match="A picture is bytes, a path"):
            source(wrong, "reference")  # type: ignore[arg-type]


def test_neither_pillow_nor_numpy_is_loaded_for_a_path() -> None:
    program = (
        "import sys, pairlens; pairlens.Client('http://127.0.0.1:9'); from serve_app.client.pictures import source;"
        "source('a.png', 'reference'); print({'PIL', 'numpy'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
