"""Pages whose content moved, with a card on them that is to be ignored, and changed; what a service would measure."""

from __future__ import annotations

import asyncio
import io

import numpy as np
from PIL import Image

from serve_app.comparison.examiner import Examiner
from serve_app.core.clock import Deadline
from serve_app.core.measured import Measurement
from serve_app.core.pictures import Box, Pixels, Upload
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Limits, PreprocessingSettings
from tests.worlds.known import Kind, KnownPair
from tests.worlds.pages import bar, card, stacked, table
from tests.worlds.pairs import clipped


def examined(pair: KnownPair) -> Measurement:
    """The measurement of the pair as two PNGs, its regions ignored."""
    config = ImageComparisonConfig(ignore_regions=pair.ignored)
    examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=False)
    try:
        uploads = [Upload(png(picture)) for picture in (pair.reference, pair.candidate)]
        return asyncio.run(examiner.examine(uploads[0], uploads[1], config, Deadline.after(60))).measurement
    finally:
        examiner.close()


def png(picture: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG", compress_level=1)
    return out.getvalue()


def page(seed: int) -> tuple[Pixels, Box]:
    """A page, and where its second card lies."""
    blocks = (bar("Northwind  Orders"), card(seed, 4), card(seed + 1, 4), table(seed), card(seed + 2, 3))
    top = len(stacked(*blocks[:2]))
    return stacked(*blocks), Box(20, top, 500, len(blocks[2]))


def noisy(picture: Pixels, box: Box, seed: int) -> Pixels:
    """Another content in `box`: what is ignored there differs in all of its pixels."""
    out = picture.copy()
    view = out[box.y : box.bottom, box.x : box.right]
    view[...] = clipped(255 - view + np.random.default_rng(seed).normal(0, 20, view.shape))
    return out


def pushed(rows: float, seed: int) -> KnownPair:
    """A banner came under the header; what is ignored moved with the rest."""
    picture, spot = page(seed)
    other = noisy(picture, spot, seed)
    banner = np.full((int(rows), picture.shape[1], 3), (250, 214, 120), np.uint8)
    banner[4:-4, 30:200] = (120, 60, 20)
    longer = np.concatenate([other[:56], banner, other[56:]])
    return KnownPair(picture, longer, (Box(0, 56, picture.shape[1], 1),), 0.85, ("bands",), ignored=(spot,))


def slid(by: float, seed: int) -> KnownPair:
    """The whole page slid, right or left, and round."""
    picture, spot = page(seed)
    right = int(by) if seed % 2 else -int(by)
    other = noisy(picture, spot, seed)
    return KnownPair(picture, np.roll(other, right, 1), (), 0.85, ("shift",), ignored=(spot,))


KINDS = (
    Kind("page pushed down, a changed card ignored", (10.0, 40.0, 120.0), pushed, "px"),
    Kind("page slid, a changed card ignored", (3.0, 10.0, 40.0), slid, "px"),
)
