"""One score 0..1 per quality a person names: color, brightness, contrast, layout, texture, sharpness.
Knows small Lab pictures of one size, not places.

Each score undoes what belongs to its neighbours: colour is compared after the gain that explains the lightness,
contrast lets a change of exposure pass, structure and texture are normalised by their own energy. The table of
distortions against aspects in the benchmark shows how far they keep apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.measurement.colour import Lab

NAMES = ("color", "brightness", "contrast", "layout", "texture", "sharpness")
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        word: name
        for name, words in {
            "color": "color colour colors colours coloring colouring hue 颜色 色彩 色调 配色 顏色",
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


def canonical(name: str) -> str | None:
    """The aspect a caller means, or None if pixels can't tell: "Colour ", "色彩" are "color"."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _WORDS.get("".join(folded.split()))


def scores(first: Lab, second: Lab) -> dict[str, float]:
    """Scores of (height, width, 3) float32 Lab pictures of one size. Symmetric, 1 for equal pictures."""
    light = [np.ascontiguousarray(image[..., 0]) for image in (first, second)]
    means = [float(plane.mean()) for plane in light]
    coarse = [cv2.GaussianBlur(plane, (0, 0), 3) for plane in light]
    spreads = [float(plane.std()) + 1.0 for plane in coarse]
    return {
        "color": _color(first, second, means, spreads),
        "brightness": float(np.exp(-abs(means[0] - means[1]) / 20)),
        "contrast": float(np.exp(-1.5 * _contrast(means, spreads))),
        "layout": _layout(light),
        "texture": _texture(light),
        "sharpness": _sharpness(light),
    }


def _contrast(means: list[float], spreads: list[float]) -> float:
    """Log ratio of spreads, 0 where one gain on everything (exposure) explains it."""
    spread = np.log(spreads[0] / spreads[1])
    gain = np.log((means[0] + 5) / (means[1] + 5))
    return float(min(abs(spread), abs(spread - gain)))


def _color(first: Lab, second: Lab, means: list[float], spreads: list[float]) -> float:
    size = (min(64, first.shape[1]), min(64, first.shape[0]))
    one, two = (
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32).reshape(-1, 3)[:, 1:]
        for image in (first, second)
    )
    ratios = (1.0, spreads[0] / spreads[1], (means[0] + 5) / (means[1] + 5))
    apart = []
    for ratio in ratios:
        gain = float(np.sqrt(np.clip(ratio, 0.4, 2.5)))
        apart.append(float(np.hypot(*(one / gain - two * gain).T).mean()))
    return float(np.exp(-max(0.0, min(apart) - 0.5) / 16))


def _layout(light: list[_Plane]) -> float:
    """Correlation of coarse shapes in windows, weighted by how much there is to see in them."""
    size = (min(64, light[0].shape[1]), min(64, light[0].shape[0]))
    one, two = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0]) for plane in light)
    deviation = [_moment(plane, plane) for plane in (one, two)]
    covariance = _moment(one, two)
    power = np.sqrt(np.maximum(deviation[0], 0) * np.maximum(deviation[1], 0))
    weight = np.sqrt(np.maximum(np.maximum(*deviation), 0)) + 0.05
    # The floor keeps flat windows at 1; where only one is flat it falls with what the other shows.
    floor = 1.0 + 0.05 * np.maximum(*deviation)
    alone = 1 - np.minimum(1, np.abs(np.sqrt(np.maximum(deviation[0], 0)) - np.sqrt(np.maximum(deviation[1], 0))) / 50)
    agreement = (covariance + floor) / (power + floor) * alone
    value = float((agreement * weight).sum() / weight.sum())
    return float(np.clip((value - 0.1) / 0.9, 0, 1))


def _moment(one: _Plane, two: _Plane) -> NDArray[np.float64]:
    window = (9, 9)
    return np.asarray(
        cv2.blur((one * two).astype(np.float64), window)
        - cv2.blur(one.astype(np.float64), window) * cv2.blur(two.astype(np.float64), window)
    )


def _bands(plane: _Plane) -> tuple[_Plane, _Plane]:
    """Fine and middle detail: what is finer than 1 pixel of blur, and between 1 and 3."""
    near, far = cv2.GaussianBlur(plane, (0, 0), 1), cv2.GaussianBlur(plane, (0, 0), 3)
    return np.asarray(plane - near), np.asarray(near - far)


def _texture(light: list[_Plane]) -> float:
    """How alike fine detail is spread over the picture, whatever its strength."""
    maps = []
    for plane in light:
        fine, middle = _bands(plane)
        energy = cv2.resize(np.abs(fine) + np.abs(middle), _eighth(plane), interpolation=cv2.INTER_AREA) + 0.1
        maps.append(energy / energy.mean())
    return float(np.clip(1 - np.abs(maps[0] - maps[1]).mean() / 1.2, 0, 1))


def _eighth(plane: _Plane) -> tuple[int, int]:
    return max(1, plane.shape[1] // 8), max(1, plane.shape[0] // 8)


def _sharpness(light: list[_Plane]) -> float:
    """Ratio of fine to middle detail where middle detail is strongest: at edges, so that noise counts little."""
    ratios = []
    for plane in light:
        fine, middle = _bands(plane)
        strength = np.abs(middle)
        edge = strength >= np.quantile(strength, 0.9)
        ratios.append((float(np.abs(fine)[edge].mean()) + 0.02) / (float(strength[edge].mean()) + 0.02))
    return float((min(ratios) / max(ratios)) ** 0.75)
