from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from serve_app.plugins.pictures import NotAPicture, as_png, encoded, png

mpl.use("agg")


def decoded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def test_bytes_and_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"whatever")

    assert encoded(b"whatever") == encoded(bytearray(b"whatever")) == encoded(memoryview(b"whatever")) == b"whatever"
    assert encoded(tmp_path / "a.bin") == encoded(str(tmp_path / "a.bin")) == b"whatever"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_an_image_of_pillow_loses_nothing(mode: str) -> None:
    image = Image.linear_gradient("L").convert(mode) if mode != "I;16" else Image.new("I;16", (3, 2), 40_000)

    again = decoded(encoded(image))

    assert again.mode == mode
    assert again.tobytes() == image.tobytes()


def test_a_mode_that_png_lacks_becomes_colour() -> None:
    assert decoded(encoded(Image.new("CMYK", (2, 2)))).mode == "RGB"
    assert decoded(encoded(Image.new("RGBa", (2, 2)))).mode == "RGBA"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 128, 255]], np.uint8), [0, 128, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[0, 255]], np.int64), [0, 255]),
        (np.array([[[7], [8]]], np.uint8), [7, 8]),
        (np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), [(1, 2, 3), (4, 5, 6)]),
        (np.array([[[1, 2, 3, 4]]], np.uint16), [(1, 2, 3, 4)]),
        (
            np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)),
            [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)],
        ),
    ],
)
def test_an_array_is_grey_or_colour_by_its_shape_and_scaled_by_its_kind(array: object, expected: list[object]) -> None:
    assert list(decoded(encoded(array)).get_flattened_data()) == expected


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\) is no picture"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\) is no picture"),
        (np.zeros(5, np.uint8), r"shape \(5,\) is no picture"),
        (np.array([[0.0, 1.5]]), r"float64 has values 0\.\.1; this one's are 0\.\.1\.5"),
        (np.array([[0.0, np.nan]]), r"has values 0\.\.1"),
        (np.array([[-1, 3]]), r"int64 has values 0\.\.255; this one's are -1\.\.3"),
        (np.array([["a"]]), "is no picture"),
        (object(), "object is no picture: hand over a page"),
        (None, "NoneType is no picture"),
        (3, "int is no picture"),
    ],
)
def test_what_is_no_picture_is_named(array: object, told: str) -> None:
    with pytest.raises(NotAPicture, match=told):
        encoded(array)


def test_a_figure_is_drawn_as_large_as_it_says_and_the_same_every_time() -> None:
    from matplotlib.figure import Figure

    def drawn() -> bytes:
        figure = Figure(figsize=(3, 2), dpi=50)
        figure.subplots().plot([1, 3, 2])
        with mpl.rc_context({"savefig.dpi": 300, "savefig.bbox": "tight"}):
            return encoded(figure)

    assert drawn() == drawn()
    assert decoded(drawn()).size == (150, 100)


def test_a_file_becomes_an_upright_png_and_a_png_stays_itself() -> None:
    tall = Image.new("RGB", (4, 2), "red")
    exif = tall.getexif()
    exif[0x0112] = 6  # a quarter turn
    out = io.BytesIO()
    tall.save(out, "JPEG", exif=exif)
    own = png(tall)

    assert decoded(as_png(out.getvalue())).size == (2, 4)
    assert as_png(own) is own


@pytest.mark.parametrize("broken", [b"", b"no image", png(Image.new("RGB", (64, 64)))[:60]])
def test_a_file_that_cannot_be_decoded_is_said_to_be_so(broken: bytes) -> None:
    with pytest.raises(NotAPicture, match=r"can't be decoded|no image file"):
        as_png(broken)
