"""What became of the text of a measured pair: the order of the steps.
No differences of its own: it names what was measured. Knows no config, no report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from serve_app.core.clock import Stop
from serve_app.core.laid import Laid, Spot
from serve_app.core.pictures import Box, Pixels
from serve_app.core.quotes import likeness
from serve_app.core.reading import TextChange, TextLine
from serve_app.ocr import codes, judging, letters, lines, quads, windows
from serve_app.ocr.judging import Change, Judged
from serve_app.ocr.lines import Place
from serve_app.ocr.quads import Quad
from serve_app.ocr.reader import OutOfTime, Reads, Timed
from serve_app.ocr.recognition import Read
from serve_app.ocr.statements import Statement, Stretch, by_spot, settled
from serve_app.schema import TextKind

MOST_LINES: Final = 256  # read of one pair
PARTS: Final = 10  # of a line, that are asked whether they changed
MOSTLY: Final = 0.6  # of a line on changed pixels: it looks different as a whole, or is in one picture alone
CLOSE: Final = 0.7  # ... less, and what is around the changed letters proves that nothing else did
FAR: Final = 0.4  # of its box's shorter side: less is an encoder's jitter, not a move
LOOSE: Final = 0.3  # of the picture
ALIKE: Final = 0.8  # two readings of one line, cut otherwise
SLOT: Final = 0.6  # of its height, that another text at the same place may begin or end elsewhere
MARGIN: Final = 8  # pixels around a place that is read by itself: letters at its edge are found whole
INNER: Final = 0.15  # of a line's height, above and below, where its neighbours' change may reach
_ALONE: Final = frozenset({"replaced", "removed", "added"})


@dataclass(frozen=True, slots=True)
class Found:
    """Seen from the first picture. `changes`: for each measured difference. `read`: lines of each picture, where the
    whole was asked for. `unchanged`: share of those letters that are the same in both."""

    changes: tuple[tuple[TextChange, ...], ...]
    read: tuple[tuple[TextLine, ...], tuple[TextLine, ...]] = ((), ())
    num_lines: int = 0
    unchanged: float | None = None
    is_complete: bool = True


@dataclass(slots=True)
class _Work:
    """One pair on its way through the steps."""

    reader: Timed
    laid: Laid
    num_lines: int = 0
    told: set[int] = field(default_factory=set)  # differences that need no window any more

    @property
    def has_room(self) -> bool:
        return self.num_lines < MOST_LINES

    def read(self, pictures: tuple[Pixels, Pixels], places: Sequence[Quad]) -> list[tuple[Read, Read]]:
        self.num_lines += len(places)
        return lines.read_places(self.reader, pictures, places)

    def read_in(self, picture: Pixels, places: Sequence[Quad]) -> list[Read]:
        """Lines of one picture."""
        self.num_lines += len(places)
        return self.reader.read_lines([quads.cut(picture, quad) for quad in places])


def read(reader: Reads, laid: Laid, *, whole: bool, stop: Stop) -> Found:
    """What the measured differences do to the text. `whole`: all lines of both pictures too.

    Ends early, with what it has, when `stop` says so.
    """
    work = _Work(Timed(reader, stop), laid)
    statements: list[Statement] = []
    rows: list[_Row] = []
    is_complete = False
    with suppress(OutOfTime):
        for step in (_came, _moved, _around, _codes):
            for said in step(work):  # one by one: what was said before the time was over is kept
                statements.append(said)  # noqa: PERF402
        if whole:
            rows += _all_lines(work)
        is_complete = True
    return Found(
        changes=by_spot(settled(statements), laid.spots),
        read=_both_lists(laid, rows, statements),
        num_lines=work.num_lines,
        unchanged=_unchanged(rows),
        is_complete=is_complete,
    )


def _codes(work: _Work) -> Iterator[Statement]:
    work.reader.check()
    for said in codes.said_of(work.laid):
        work.num_lines += 1
        yield said


def _came(work: _Work) -> Iterator[Statement]:
    """Rows that one picture alone has: all that they say."""
    for index, spot in enumerate(work.laid.spots):
        own = 0 if spot.kind == "removed" else 1
        box = spot.own[own]
        if spot.at or spot.is_whole or box is None or not work.has_room:
            continue
        picture = work.laid.pictures[own]
        found = [
            quad for quad in lines.find_in(work.reader, picture, _padded(box, MARGIN, picture)) if _middle_in(quad, box)
        ]
        for line in work.read_in(picture, found):
            if judging.is_sure(line):
                texts = (line.text, "") if own == 0 else ("", line.text)
                yield Statement("removed" if own == 0 else "added", *texts, judging.least(line), spot=index)


def _moved(work: _Work) -> Iterator[Statement]:
    """What the measurement found at two places, read at both: they may overlap."""
    for index, spot in enumerate(work.laid.spots):
        one, two = spot.own
        if not _is_far(work.laid, spot) or one is None or two is None or not work.has_room:
            continue
        texts = []
        for picture, box in zip(work.laid.pictures, (one, two), strict=True):
            # What stands beside it at one place doesn't belong to it.
            found = lines.find_in(work.reader, picture, _padded(box, MARGIN, picture), windows.scale_for(box))
            found = sorted((quad for quad in found if _middle_in(quad, box)), key=lambda quad: tuple(quad[0][::-1]))
            texts.append(work.read_in(picture, found))
        if len(texts[0]) == len(texts[1]):
            said = list(_moved_lines(index, zip(*texts, strict=True)))
            if said:
                work.told.add(index)
            yield from said


def _moved_lines(index: int, pairs: Iterable[tuple[Read, Read]]) -> Iterator[Statement]:
    for one, two in pairs:
        judged = judging.judge(one, two, lambda start, end: True, is_rough=True)
        if judged is None or judged.verdict not in ("same", "changed"):
            continue
        stretches = tuple(Stretch(each.one, each.two, Box(0, 0, 0, 0)) for each in judged.changes)
        kind: TextKind = "moved" if judged.verdict == "same" else "changed"
        yield Statement(kind, judged.one, judged.two, judged.confidence, spot=index, stretches=stretches)


def _around(work: _Work) -> Iterator[Statement]:
    """Lines on what differs, each read at one place in both pictures."""
    laid = work.laid
    spots = _places(laid, work.told)
    for window in windows.around(spots, laid.size):
        for pictures in lines.backgrounds(laid):
            if not work.has_room:
                return
            found = lines.find_places(work.reader, pictures, window, spots, laid.size)
            found = [each for each in found if any(each.box.overlap(spot) for spot in spots)]
            found = [each for each in found if laid.is_changed(_inner(each.box))]
            for place, (one, two) in zip(found, work.read(pictures, [each.quad for each in found]), strict=True):
                yield from _said(work, pictures, place, one, two)
            if found:
                break  # what is written on white needs no look on black


def _said(work: _Work, pictures: tuple[Pixels, Pixels], place: Place, one: Read, two: Read) -> Iterator[Statement]:
    quad, laid = place.quad, work.laid
    is_loose = _is_loose(laid, place.box)
    judged = _judged(laid, quad, one, two, is_loose=is_loose)
    if judged is not None and judged.verdict == "changed" and _is_at_an_end(judged):
        if laid.is_warped or is_loose:
            return  # the end may lie in a shade, or round a corner
        # A letter that only one of them has at its end may have been cut off in the other.
        quad = quads.longer(quad, min(quads.size(quad)))
        judged = _judged(laid, quad, *work.read(pictures, [quad])[0], is_loose=is_loose)
        if judged is not None and judged.verdict not in ("changed", "same"):
            return
    if judged is not None and not (is_loose and any(_is_gain_or_loss(each) for each in judged.changes)):
        yield from _statements(work, place, quad, judged)


def _judged(laid: Laid, quad: Quad, one: Read, two: Read, *, is_loose: bool) -> Judged | None:
    is_close = _share(laid, quad) < CLOSE
    return judging.judge(one, two, _changed(laid, quad), is_rough=laid.is_rough or is_loose, is_close=is_close)


def _places(laid: Laid, told: Collection[int] = ()) -> list[Box]:
    """Of what differs, on the grid; without what was told already."""
    return [box for i, spot in enumerate(laid.spots) if not spot.is_whole and i not in told for box in spot.at]


def _is_loose(laid: Laid, box: Box) -> bool:
    """One difference as large as a page lies over it, as of two photographs: that a pixel changed proves nothing."""
    size = LOOSE * laid.size[0] * laid.size[1]
    return any(place.area >= size and place.overlap(box) for place in _places(laid))


def _statements(work: _Work, place: Place, quad: Quad, judged: Judged) -> Iterator[Statement]:
    at = (quads.bounds(quad),)
    one, two, confidence = judged.one, judged.two, judged.confidence
    # Where everything differs, another line at the place may be the neighbour of one that stayed.
    is_placed = not _is_loose(work.laid, at[0])
    is_alone = is_placed and work.laid.is_explained and confidence >= judging.SURE
    if judged.verdict == "changed":
        stretches = tuple(
            Stretch(each.one, each.two, quads.bounds(quads.part(quad, each.start, each.end))) for each in judged.changes
        )
        yield Statement("changed", one, two, confidence, at, stretches=stretches)
    elif judged.verdict == "same" and _share(work.laid, quad) >= MOSTLY:
        yield Statement("same", one, two, confidence, at)
    elif judged.verdict == "replaced" and is_placed and _is_one_slot(place):
        yield Statement("changed", one, two, confidence, at)
    elif is_alone and judged.verdict in _ALONE and _share(work.laid, quad) >= MOSTLY:
        is_replaced = judged.verdict == "replaced"
        for kind, text, own in (("removed", one, 0), ("added", two, 1)):
            # A line that is seen in both and can be read in one may well be the same.
            if not text or place.seen[own] is None or not (is_replaced or place.seen[1 - own] is None):
                continue
            if not _stands_still(work, at[0], own, text):
                texts = (text, "") if kind == "removed" else ("", text)
                yield Statement("removed" if kind == "removed" else "added", *texts, confidence, at)


def _stands_still(work: _Work, box: Box, own: int, text: str) -> bool:
    """Where one picture lies further along the other, that was for what moved: a line that is in both at one place of
    their frames is neither gone nor new."""
    places = work.laid.own(box)
    other = work.laid.pictures[1 - own]
    here = places[own]
    if places[0] == places[1] or here.overlap(Box(0, 0, other.shape[1], other.shape[0])) < here.area:
        return False
    (read,) = work.read_in(other, [quads.quad_of(here)])
    return likeness(letters.folded(read.text), letters.folded(text)) >= ALIKE


def _is_gain_or_loss(change: Change) -> bool:
    return change.one[0] == change.one[1] or change.two[0] == change.two[1]


def _is_at_an_end(judged: Judged) -> bool:
    """A change that is letters more at the line's end, or fewer."""
    ends = ((0, 0), (len(judged.one), len(judged.two)))
    return any(
        _is_gain_or_loss(each) and ((each.one[0], each.two[0]) == ends[0] or (each.one[1], each.two[1]) == ends[1])
        for each in judged.changes
    )


def _is_one_slot(place: Place) -> bool:
    """Another text where one stood: it begins, ends or is centred there, as high as that."""
    one, two = place.seen
    if one is None or two is None:
        return False
    lower, higher = sorted((one.height, two.height))
    if higher > 1.5 * lower or min(one.bottom, two.bottom) - max(one.y, two.y) < SLOT * lower:
        return False
    ends = (one.x - two.x, one.right - two.right, (one.x + one.right - two.x - two.right) / 2)
    return min(abs(end) for end in ends) <= SLOT * lower


def _changed(laid: Laid, quad: Quad) -> Callable[[float, float], bool]:
    return lambda start, end: laid.is_changed(_inner(quads.bounds(quads.part(quad, start, end))))


def _share(laid: Laid, quad: Quad) -> float:
    """Of a line's length: on changed pixels."""
    is_changed = _changed(laid, quad)
    return sum(is_changed(part / PARTS, (part + 1) / PARTS) for part in range(PARTS)) / PARTS


def _inner(box: Box) -> Box:
    by = round(INNER * box.height)
    return Box(box.x, box.y + by, box.width, max(1, box.height - 2 * by))


def _is_far(laid: Laid, spot: Spot) -> bool:
    """A place further on, and not what turning or tilting a picture left of one."""
    one, two = spot.own
    if spot.kind != "moved" or spot.is_whole or laid.is_warped or one is None or two is None:
        return False
    if any(_is_loose(laid, place) for place in spot.at):
        return False
    return max(abs(one.x - two.x), abs(one.y - two.y)) > FAR * min(one.width, one.height)


def _padded(box: Box, by: int, picture: Pixels) -> Box:
    left, top = max(0, box.x - by), max(0, box.y - by)
    right, bottom = min(picture.shape[1], box.right + by), min(picture.shape[0], box.bottom + by)
    return Box(left, top, right - left, bottom - top)


def _middle_in(quad: Quad, box: Box) -> bool:
    x, y = quad.mean(axis=0)
    return bool(box.x <= x < box.right and box.y <= y < box.bottom)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the grid as each picture has it; None where it doesn't."""

    box: Box
    one: Read | None
    two: Read | None


def _all_lines(work: _Work) -> list[_Row]:
    """Every line of the grid; what didn't change is read once."""
    laid, whole = work.laid, Box(0, 0, *work.laid.size)
    first = lines.find_in(work.reader, laid.first, whole)
    changed = [window.box for window in windows.around(_places(laid), laid.size)]
    second = [quad for box in changed for quad in lines.find_in(work.reader, laid.second, box)]
    places = lines.grouped(first, second)[:MOST_LINES]
    still = [each for each in places if not laid.is_changed(_inner(each.box))]
    other = [each for each in places if laid.is_changed(_inner(each.box))]
    once = work.read_in(laid.first, [each.quad for each in still])
    twice = work.read((laid.first, laid.second), [each.quad for each in other])
    return [
        *(_Row(each.box, read, read) for each, read in zip(still, once, strict=True)),
        *(_Row(each.box, one, two) for each, (one, two) in zip(other, twice, strict=True)),
    ]


def _both_lists(
    laid: Laid, rows: Sequence[_Row], statements: Sequence[Statement]
) -> tuple[tuple[TextLine, ...], tuple[TextLine, ...]]:
    lists: tuple[list[TextLine], list[TextLine]] = ([], [])
    for row in rows:
        for own, (read, box) in enumerate(zip((row.one, row.two), laid.places(row.box), strict=True)):
            if read is not None and read.confidence >= judging.READABLE and letters.folded(read.text):
                lists[own].append(TextLine(read.text, box, round(min(1.0, read.confidence), 4)))
    if rows:
        for each in statements:  # rows that one picture alone has are on no grid
            own = 1 if each.kind == "added" else 0
            band = None if each.spot is None else laid.spots[each.spot].own[own]
            if band is not None and each.kind in ("added", "removed"):
                lists[own].append(TextLine(each.two or each.one, laid.original(band, own), each.confidence))
    return tuple(lists[0]), tuple(lists[1])


def _unchanged(rows: Sequence[_Row]) -> float | None:
    """By letters. A line that stands elsewhere now is the same line."""
    same = total = 0.0
    gone, come = Counter[str](), Counter[str]()
    for one, two in ((_readable(row.one), _readable(row.two)) for row in rows):
        alike = likeness(one, two)
        if alike >= judging.HALF:
            total += max(len(one), len(two))
            same += alike * max(len(one), len(two))
        else:
            gone[one] += 1
            come[two] += 1
    moved = gone & come
    same += sum(len(text) * times for text, times in moved.items())
    total += sum(len(text) * times for text, times in (gone | come).items())
    return round(same / total, 4) if total else None


def _readable(read: Read | None) -> str:
    return letters.folded(read.text) if read is not None and read.confidence >= judging.READABLE else ""
