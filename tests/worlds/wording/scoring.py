"""What was said of a pair's words, held against what is true of it.
Knows no pixels."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from serve_app.core.reading import TextChange
from tests.worlds.wording.truth import Event, TextPair, can_be_cut, stretch

ABOUT_WORDING = ("changed", "added", "removed", "moved")


@dataclass(frozen=True)
class Scored:
    """`right`: events that some statement tells, by its whole line or by what of it changed; `whole`: those of them
    told by the whole line. `false`: statements that fit no event; `partial`: so many are true of a part of a line that
    came, went or moved, and tell no event; `missed`: events that nobody told."""

    events: int
    right: int
    whole: int
    partial: int
    false: tuple[TextChange, ...]
    missed: tuple[Event, ...]


def score(pair: TextPair, changes: Iterable[TextChange]) -> Scored:
    """Another statement of an event that was told already is neither right nor false."""
    told: set[int] = set()
    whole: set[int] = set()
    partial, false = 0, []
    for change in changes:
        if change.kind not in ABOUT_WORDING:
            continue
        fits = [at for at, event in enumerate(pair.events) if _tells(change, event)]
        told.update(fits)
        whole.update(at for at in fits if _is_whole(change, pair.events[at]))
        if fits or any(_tells(change, event) for event in pair.also):
            continue
        if any(_tells_a_part(change, event) for event in (*pair.events, *pair.also)):
            partial += 1
        else:
            false.append(change)
    missed = tuple(event for at, event in enumerate(pair.events) if at not in told)
    return Scored(len(pair.events), len(told), len(whole), partial, tuple(false), missed)


def plain(text: str | None) -> str:
    """As strings are compared: NFKC, without spaces; capitals count."""
    return "".join(unicodedata.normalize("NFKC", text or "").split())


def _tells(change: TextChange, event: Event) -> bool:
    if change.kind != event.kind:
        return False
    if event.kind != "changed":
        return _is_whole(change, event)
    whole, word = (change.reference, change.candidate), (change.reference_word, change.candidate_word)
    return _is_whole(change, event) or _is_true_word(*word, event) or _is_true_word(*whole, event)


def _is_whole(change: TextChange, event: Event) -> bool:
    said = plain(change.reference), plain(change.candidate)
    return said == (plain(event.reference), plain(event.candidate))


def _is_true_word(old: str | None, new: str | None, event: Event) -> bool:
    """Some part of the line, cut between words, that holds all that changed: put in for `old`, `new` makes the other
    line."""
    said = plain(old), plain(new)
    reference, candidate = event.reference or "", event.candidate or ""
    start, end, _ = stretch(reference, candidate)
    lefts = [at for at in range(start + 1) if can_be_cut(reference, at) and can_be_cut(candidate, at)]
    for rest in range(len(reference) - end + 1):
        right, other_right = len(reference) - rest, len(candidate) - rest
        if can_be_cut(reference, right) and can_be_cut(candidate, other_right):
            parts = [(plain(reference[left:right]), plain(candidate[left:other_right])) for left in lefts]
            if said in parts:
                return True
    return False


def _tells_a_part(change: TextChange, event: Event) -> bool:
    """ "Best before" of "Best before 2026-05-01" was removed as well."""
    if event.kind == "changed" or change.kind != event.kind:
        return False
    line = event.reference or event.candidate or ""
    said = {plain(each) for each in (change.reference, change.candidate) if each}
    if (change.reference is None, change.candidate is None) != (event.reference is None, event.candidate is None):
        return False
    cuts = [at for at in range(len(line) + 1) if can_be_cut(line, at)]
    parts = {plain(line[left:right]) for left in cuts for right in cuts if left < right}
    return len(said) == 1 and said <= parts - {""}
