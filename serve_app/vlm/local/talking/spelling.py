"""Tokens as they are said to text that can be shown: whole characters, up to the first stop text.
No model: bytes of tokens in, pieces of the answer out.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Sequence

from serve_app.core.conversation import Said, SaidToken


class Spelling:
    """One answer being spelt. `has_stopped`: a stop text came; nothing is to follow.

    A character may be several tokens, and so may a stop text: what could still become one is held back.
    """

    def __init__(self, stops: Sequence[str], *, tells_tokens: bool) -> None:
        self._stops = stops
        self._tells_tokens = tells_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._shown = 0  # characters told so far
        self._tokens: deque[tuple[int, int, SaidToken]] = deque()  # not told, with the characters they begin and end
        self.has_stopped = False

    def add(self, token: SaidToken) -> Said | None:
        """What can be told now, None if nothing."""
        start = self._shown + len(self._held)
        self._held += self._decoder.decode(token.spelling)
        is_cut = bool(self._decoder.getstate()[0])  # its last character goes on in the next token
        self._tokens.append((start, self._shown + len(self._held) + is_cut, token))
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.has_stopped = True
            self._held = self._held[: min(found)]
            return self._told(len(self._held), is_last=True)
        return self._told(len(self._held) - self._possible_stop())

    def rest(self) -> Said | None:
        """What is held back once nothing follows; a character that was cut in two is left out."""
        return self._told(len(self._held), is_last=True)

    def _possible_stop(self) -> int:
        """Length of the longest end of what is held that begins a stop text."""
        longest = max(map(len, self._stops), default=1) - 1
        return next(
            (
                length
                for length in range(min(longest, len(self._held)), 0, -1)
                if any(stop.startswith(self._held[-length:]) for stop in self._stops)
            ),
            0,
        )

    def _told(self, length: int, *, is_last: bool = False) -> Said | None:
        text, self._held = self._held[:length], self._held[length:]
        self._shown += length
        tokens = []
        # Each goes with its last character; at the end whoever began before it goes, too.
        while self._tokens and (self._tokens[0][0] < self._shown if is_last else self._tokens[0][1] <= self._shown):
            tokens.append(self._tokens.popleft()[2])
        if not text and not tokens:
            return None
        return Said(text, tuple(tokens) if self._tells_tokens else ())
