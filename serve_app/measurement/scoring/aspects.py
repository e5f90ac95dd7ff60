"""One score 0..1 per quality a person names: color, hue, brightness, contrast, layout, texture, sharpness.
Knows small Lab pictures of one size, not places.

Each score undoes what belongs to its neighbours: where the structure itself was replaced (layout's matter) the others
hardly look; hue is compared after the gain that explains the lightness, colour is hue and lightness together, as people
mean it, contrast lets a change of exposure pass, texture is normalised by its own energy and leaves the finest detail
to sharpness. The table of distortions against aspects in the benchmark shows how far they keep apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Measurement
from serve_app.measurement.colour import Lab

NAMES = ("color", "hue", "brightness", "contrast", "layout", "texture", "sharpness")
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        word: name
        for name, words in {
            "color": "color colour colors colours coloring colouring 颜色 色彩 配色 顏色",
            "hue": "hue hues chroma tint 色调 色相 色調",
            "brightness": "brightness luminance lightness exposure 亮度 明亮度 明度 曝光",
            "contrast": "contrast 对比度 反差 對比度",
            "layout": "layout structure composition 布局 版式 排版 构图 结构 佈局",
            "texture": "texture textures 纹理 质感 材质 紋理",
            "sharpness": "sharpness clarity blur 清晰度 锐度 锐利度 模糊度 清晰 銳度",
        }.items()
        for word in words.split()
    }
)
_Plane = NDArray[np.float32]

SIDE = 64  # blocks a side that structure is compared on
LIGHTER = 45.0  # levels of lightness, of 100, at which two thirds of a colour's likeness are gone
GROUND = 0.5  # levels of lightness: what a flat place counts for in layout beside one with as much deviation
REPLACED = 0.05  # weight of a place whose structure is another: all count alike where nothing is kept


def canonical(name: str) -> str | None:
    """The aspect a caller means, or None if pixels can't tell: "Colour ", "色彩" are "color"."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _WORDS.get("".join(folded.split()))


def aspect_score(measurement: Measurement, name: str) -> float | None:
    """The measured score of an aspect a caller asked for, in English or Chinese; None where pixels can't tell."""
    known = canonical(name)
    return None if known is None else measurement.aspects.get(known)


def scores(first: Lab, second: Lab) -> dict[str, float]:
    """Scores of (height, width, 3) float32 Lab pictures of one size. Symmetric, 1 for equal pictures."""
    light = [np.ascontiguousarray(image[..., 0]) for image in (first, second)]
    agreement, seen = _structure(light)
    kept = np.asarray(np.clip(agreement, 0, 1) ** 3 + REPLACED, np.float32)
    coarse = [_shrunk(cv2.GaussianBlur(plane, (0, 0), 3)) for plane in light]
    means = [float(np.average(plane, weights=kept)) for plane in coarse]
    spreads = [
        float(np.sqrt(np.average(np.square(plane - mean), weights=kept))) + 1.0
        for plane, mean in zip(coarse, means, strict=True)
    ]
    bands = [_bands(plane) for plane in light]
    hue = _hue(first, second, means, spreads, kept)
    return {
        "color": hue * float(np.exp(-_apart(light, kept) / LIGHTER)),
        "hue": hue,
        "brightness": float(np.exp(-abs(means[0] - means[1]) / 20)),
        "contrast": float(np.exp(-1.5 * _contrast(means, spreads))),
        "layout": float(np.clip((np.average(agreement, weights=seen) - 0.1) / 0.9, 0, 1)),
        "texture": _texture([middle for _, middle in bands], kept),
        "sharpness": _sharpness(bands, kept),
    }


def _contrast(means: list[float], spreads: list[float]) -> float:
    """Log ratio of spreads, 0 where one gain on everything (exposure) explains it."""
    spread = np.log(spreads[0] / spreads[1])
    gain = np.log((means[0] + 5) / (means[1] + 5))
    return float(min(abs(spread), abs(spread - gain)))


def _apart(light: list[_Plane], kept: _Plane) -> float:
    """Mean levels of lightness that one place is from the same in the other, less what nobody sees."""
    one, two = (_shrunk(plane) for plane in light)
    return max(0.0, float(np.average(np.abs(one - two), weights=kept)) - 1)


def _hue(first: Lab, second: Lab, means: list[float], spreads: list[float], kept: _Plane) -> float:
    one, two = (_shrunk(image).reshape(-1, 3)[:, 1:] for image in (first, second))
    ratios = (1.0, spreads[0] / spreads[1], (means[0] + 5) / (means[1] + 5))
    apart = []
    for ratio in ratios:
        gain = float(np.sqrt(np.clip(ratio, 0.4, 2.5)))
        apart.append(float(np.average(np.hypot(*(one / gain - two * gain).T), weights=kept.ravel())))
    return float(np.exp(-max(0.0, min(apart) - 0.5) / 16))


def _structure(light: list[_Plane]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of coarse shapes in windows, and how much there is to see in each of them.

    One gain on everything is contrast's matter: taken out first.
    """
    one, two = (_shrunk(plane) for plane in light)
    gain = np.float32(np.sqrt(np.clip((one.std() + 1) / (two.std() + 1), 0.4, 2.5)))
    one, two = one / gain, two * gain
    deviation = [_moment(plane, plane) for plane in (one, two)]
    covariance = _moment(one, two)
    power = np.sqrt(np.maximum(deviation[0], 0) * np.maximum(deviation[1], 0))
    # The floor keeps flat windows at 1; where only one is flat it falls with what the other shows.
    floor = 1.0 + 0.05 * np.maximum(*deviation)
    alone = 1 - np.minimum(1, np.abs(np.sqrt(np.maximum(deviation[0], 0)) - np.sqrt(np.maximum(deviation[1], 0))) / 50)
    agreement = (covariance + floor) / (power + floor) * alone
    return agreement, np.sqrt(np.maximum(np.maximum(*deviation), 0)) + GROUND


def _moment(one: _Plane, two: _Plane) -> NDArray[np.float64]:
    window = (9, 9)
    return np.asarray(
        cv2.blur((one * two).astype(np.float64), window)
        - cv2.blur(one.astype(np.float64), window) * cv2.blur(two.astype(np.float64), window)
    )


def _shrunk(image: _Plane) -> _Plane:
    """Means of at most 64x64 blocks."""
    size = (min(SIDE, image.shape[1]), min(SIDE, image.shape[0]))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(size[1], size[0], *image.shape[2:])


def _bands(plane: _Plane) -> tuple[_Plane, _Plane]:
    """Fine and middle detail: what is finer than 1 pixel of blur, and between 1 and 3."""
    near, far = cv2.GaussianBlur(plane, (0, 0), 1), cv2.GaussianBlur(plane, (0, 0), 3)
    return np.asarray(plane - near), np.asarray(near - far)


def _texture(detail: list[_Plane], kept: _Plane) -> float:
    """How alike detail is spread over the picture, whatever its strength."""
    size = max(1, detail[0].shape[1] // 8), max(1, detail[0].shape[0] // 8)
    weight = cv2.resize(kept, size, interpolation=cv2.INTER_AREA).ravel()
    maps = []
    for plane in detail:
        energy = cv2.resize(np.abs(plane), size, interpolation=cv2.INTER_AREA).ravel() + 0.1
        maps.append(energy / np.average(energy, weights=weight))
    return float(np.clip(1 - np.average(np.abs(maps[0] - maps[1]), weights=weight) / 0.9, 0, 1))


def _sharpness(bands: list[tuple[_Plane, _Plane]], kept: _Plane) -> float:
    """Ratio of fine to middle detail where middle detail is strongest: at edges, so that noise counts little.

    The same edges in both: a blur must not choose others. By power: the strongest edges tell most.
    """
    shape = bands[0][0].shape
    weight = cv2.resize(kept, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST).reshape(shape)
    strength = np.maximum(*(np.abs(middle) for _, middle in bands))
    edge = strength >= np.quantile(strength, 0.9)
    here = weight[edge]
    ratios = [(_power(fine[edge], here) + 0.02) / (_power(middle[edge], here) + 0.02) for fine, middle in bands]
    return float((min(ratios) / max(ratios)) ** 0.75)


def _power(values: _Plane, weight: _Plane) -> float:
    return float(np.sqrt(np.average(np.square(values), weights=weight)))
