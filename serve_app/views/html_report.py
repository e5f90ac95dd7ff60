"""A report as one HTML file that opens without a network: the page's own viewer, and both pictures, in it.
Knows no pipeline and no server. All that others wrote is text or data in it; its policy lets nothing else run."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from typing import Final

from markupsafe import Markup
from PIL import Image

from serve_app import __version__
from serve_app.schema import ComparisonReport, ImageComparisonConfig, Language, VisualKind
from serve_app.views.bundled import bundled
from serve_app.views.inlined import read, rendered

VISUALS: Final[tuple[VisualKind, ...]] = ("reference", "candidate", "heatmap")
# Of one picture. Three of them, a third larger in base64, and the viewer stay within 3 MB.
MOST_BYTES: Final = 680_000
MOST_PIXELS: Final = 2_500_000
# Each tried where the one before was too large: quality, and the share of the sides.
_JPEGS: Final = ((85, 1.0), (70, 1.0), (60, 0.75), (50, 0.5), (40, 0.3), (30, 0.15))

_NAMES: Final[dict[str, str]] = {"reference": "reference", "candidate": "candidate", "heatmap": "heat"}


def wanted(config: ImageComparisonConfig) -> ImageComparisonConfig:
    """The config that a report to be shown so is asked for with."""
    return config.model_copy(update={"visuals": tuple(dict.fromkeys((*config.visuals, *VISUALS)))})


def html_report(
    report: ComparisonReport, language: Language, *, title: str = "PairLens", most_bytes: int = MOST_BYTES
) -> str:
    """One file, at most 3 MB for pictures of any size. `report` was asked for as `wanted` says; else it may have no
    pictures. Reduces each to `most_bytes`, which takes some tenths of a second."""
    pictures = {_NAMES[each.kind]: _reduced(each.image, most_bytes) for each in report.visuals if each.kind in _NAMES}
    told = report.model_copy(update={"visuals": ()}).model_dump(mode="json")
    return rendered(
        "report.html.jinja",
        style=read("viewer/viewer.css", "report/report.css"),
        script=_script(language),
        pictures="data: blob:",
        language=language,
        version=__version__,
        title=title,
        told=Markup(_json(told)),
        report=report,
        shown=pictures,
    )


@cache
def _script(language: Language) -> str:
    """The modules of the page as one script. A module can't be in a file that is opened from a disk, where every
    import is another origin's."""
    apart = {"alone": "report/alone.js", "words_now": f"viewer/words_{language}.js"}
    return '"use strict";\n' + bundled("alone", lambda name: read(apart.get(name, f"viewer/{name}.js")))


def _json(value: object) -> str:
    """JSON that ends no script element, whatever is in it."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _reduced(url: str, most_bytes: int) -> str:
    """A data URL of ours as one of at most `most_bytes`: as PNG where that is small enough, else as JPEG."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])), formats=("PNG", "JPEG")) as opened:
        is_png, image = opened.format == "PNG", opened.convert("RGB")
    share = (MOST_PIXELS / (image.width * image.height)) ** 0.5
    if share < 1:
        image = _scaled(image, share)
    if is_png and len(png := _encoded(image, "PNG", compress_level=6)) <= most_bytes:
        return _url("png", png)
    for quality, share in _JPEGS:
        jpeg = _encoded(_scaled(image, share), "JPEG", quality=quality)
        if len(jpeg) <= most_bytes:
            break
    return _url("jpeg", jpeg)


def _scaled(image: Image.Image, share: float) -> Image.Image:
    if share == 1:
        return image
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))), reducing_gap=2.0)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
