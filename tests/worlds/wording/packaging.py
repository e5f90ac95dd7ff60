"""Photographs of packaging, drawn: a label round a can or a jar, under a lamp, by a camera.
Knows nothing of scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from tests.worlds.pairs import clipped
from tests.worlds.wording import edits
from tests.worlds.wording.canvas import Design, Line, whole
from tests.worlds.wording.colours import texture
from tests.worlds.wording.packages import label
from tests.worlds.wording.shots import FINER, Shot, paired, unedited
from tests.worlds.wording.truth import TextPair
from tests.worlds.wording.vocabulary import Chance

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 760, 860
TIN = (206, 204, 198)  # the can beside its label
RIM = 26.0  # pixels of the can above and below its label


@dataclass(frozen=True)
class Bent(Shot):
    """A label round an upright can, seen by a camera a little above its middle.

    `wide`, `high`: of the label. `half`: of it, as an angle round the can, radians; `turn`: of the can about itself;
    `drop`: how much lower the middle stands than the edges, in heights of the label; `lean`: of the camera, degrees;
    `size`: of the label in the picture; `lamp`: where its glare is, -1..1 across the can; `light`: of the exposure.
    """

    wide: int = 0
    high: int = 0
    half: float = 0.9
    turn: float = 0.0
    drop: float = 0.03
    lean: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    size: float = 1.0
    lamp: float = 0.35
    glare: float = 80.0
    light: float = 1.0
    behind: int = 1

    @property
    def radius(self) -> float:
        return self.size * self.wide / 2 / self.half

    def box(self, line: Line) -> Box:
        left, top, right, bottom = line.box()
        x, y = np.meshgrid(np.linspace(left, right, 20), np.linspace(top, bottom, 4))
        angle = (x / self.wide * 2 - 1) * self.half + self.turn
        flat = np.stack([self.radius * np.sin(angle), self.size * (y - self.high / 2) + self._sag(np.cos(angle))])
        seen_x, seen_y = (self._turn(self.lean) @ flat.reshape(2, -1)) + self._middle()
        return whole(float(seen_x.min()), float(seen_y.min()), float(seen_x.max()), float(seen_y.max()))

    def _placed(self, design: Design) -> Pixels:
        grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))).reshape(2, -1)
        flat = self._turn(-self.lean) @ (grid - self._middle())
        across, down = (flat / np.array([[self.radius], [1]])).reshape(2, HEIGHT, WIDTH)
        angle = np.arcsin(across.clip(-1, 1))
        x = ((angle - self.turn) / self.half + 1) / 2 * self.wide
        y = (down - self._sag(np.cos(angle))) / self.size + self.high / 2
        fine = cv2.GaussianBlur(design.rendered(FINER), (0, 0), 0.35 * FINER)
        label_x, label_y = (np.asarray(FINER * each, np.float32) for each in (x, y))
        seen = cv2.remap(fine, label_x, label_y, cv2.INTER_LINEAR, borderValue=TIN)
        lit = seen * self._shade(across)[..., None] + self._glare(across, y)[..., None]
        ground = cv2.GaussianBlur(texture(self.behind, WIDTH, HEIGHT), (0, 0), 3) * 0.7
        is_can = (np.abs(across) < 1) & (y > -RIM) & (y < self.high + RIM)
        edge = cv2.GaussianBlur(is_can.astype(np.float64), (0, 0), 0.7)[..., None]
        return clipped((ground * (1 - edge) + lit * edge) * self.light)

    def _sag(self, near: Floats) -> Floats:
        return self.drop * self.high * self.size * (near - 1)

    def _middle(self) -> Floats:
        return np.array([[WIDTH / 2 + self.shift[0]], [HEIGHT / 2 + 8 + self.shift[1]]])

    @staticmethod
    def _turn(degrees: float) -> Floats:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return np.array([[cosine, -sine], [sine, cosine]])

    def _shade(self, across: Floats) -> Floats:
        """Brightest towards the lamp, dark where the can turns away."""
        near = np.sqrt(np.maximum(0, 1 - across**2))
        return np.asarray(0.35 + 0.65 * near**0.7 * (1 + 0.12 * self.lamp * across))

    def _glare(self, across: Floats, y: Floats) -> Floats:
        """A bright upright stripe and a soft spot on it."""
        stripe = np.exp(-(((across - self.lamp) / 0.07) ** 2)) * (0.6 + 0.4 * np.sin(y / 90 + 1))
        spot = np.exp(-(((across - self.lamp) / 0.22) ** 2) - ((y / self.high - 0.25) / 0.2) ** 2)
        return np.asarray(self.glare * (0.55 * stripe + 0.6 * spot))


HOW = ("stand", "careful", "free", "careful", "free", "careful", "stand", "free")
HANDS = {  # how far the second photograph is off: pixels, degrees, of the size, radians of the can, of its width
    "stand": (0.0, 0.0, 0.0, 0.0, 0.0),
    "careful": (9.0, 1.0, 0.015, 0.03, 0.03),
    "free": (24.0, 2.5, 0.05, 0.08, 0.15),
}


def photographed(name: str, group: str, chance: Chance) -> TextPair:
    """Two prints of one label, each photographed: on a fixed stand, by a careful hand, by one that doesn't care. Every
    fourth pair: the same print."""
    design = replace(label(chance), ground=TIN)
    first = Bent(
        wide=design.width,
        high=design.height,
        half=float(chance.uniform(0.7, 1.0)),
        drop=float(chance.uniform(0.01, 0.05)),
        turn=float(chance.uniform(-0.1, 0.1)),
        size=float(chance.uniform(0.96, 1.06)),
        lamp=float(chance.uniform(-0.6, 0.6)),
        glare=float(chance.uniform(50, 120)),
        behind=int(chance.integers(1000)),
        blur=float(chance.uniform(0.3, 0.9)),
        noise=float(chance.uniform(2, 6)),
        quality=85,
    )
    number = int(name.rsplit("-", 1)[1])
    far, degrees, size, angle, lamp = (each * float(chance.uniform(-1, 1)) for each in HANDS[HOW[number]])
    second = replace(
        first,
        shift=(far, far * float(chance.uniform(-1, 1))),
        lean=degrees,
        size=first.size * (1 + size),
        turn=first.turn + angle,
        lamp=first.lamp + lamp,
        light=float(chance.uniform(0.93, 1.07)),
    )
    edit = unedited(design) if number % 4 == 3 else edits.changed(chance, design)
    return paired(name, group, design, edit, (first, second), seed=int(chance.integers(1_000_000)))
