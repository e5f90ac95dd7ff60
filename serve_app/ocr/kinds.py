"""Kinds of text that people name and pictures show: prices, dates, phone numbers, shares of a hundred.
Strings only: what a line holds of a kind, and which kind a name means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

_NUMBER: Final = r"\d+(?:[.,]\d+)*"
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """`words`: by which people name it; `pattern`: what it looks like. `digits`: how many it has, if that tells.

    `bare`: what it may look like where nothing of `pattern` is on the page.
    """

    words: re.Pattern[str]
    pattern: re.Pattern[str]
    digits: range | None = None
    bare: re.Pattern[str] | None = None

    def found_in(self, text: str) -> tuple[str, ...]:
        """What of `text` is of this kind, without spaces."""
        return tuple(self._found_in(unicodedata.normalize("NFKC", text).casefold()))

    def barely(self) -> Kind | None:
        return None if self.bare is None else replace(self, pattern=self.bare, bare=None)

    def _found_in(self, text: str) -> Iterator[str]:
        for match in self.pattern.finditer(text):
            found = "".join(match.group().split())
            if self.digits is None or sum(letter.isdigit() for letter in found) in self.digits:
                yield found


def _kind(english: str, chinese: str, pattern: str, digits: range | None = None, bare: str | None = None) -> Kind:
    """`english`: whole words; `chinese`: wherever they stand, for Chinese has no spaces."""
    words = re.compile(rf"(?<![a-z])(?:{english})(?![a-z])|{chinese}")
    return Kind(words, re.compile(pattern), digits, None if bare is None else re.compile(bare))


KINDS: Final = (
    _kind(
        r"prices?|costs?|amount",
        "价格|价钱|售价|单价|金额|总价|原价|现价",
        rf"(?:[¥$€£]|rmb|usd|eur|gbp|cny)\s?{_NUMBER}|(?<![\d.,]){_NUMBER}\s?(?:元|円|[¥€£]|rmb|usd|eur|gbp|cny)(?![a-z])",
        # Two decimals without a unit: on a price tag the sign of the currency is drawn small, or not at all.
        bare=r"(?<![\d.,:/-])\d{1,3}(?:[., ]?\d{3})*[.,]\d{2}(?![\d.,:/-]|\s?[a-z%°])",
    ),
    _kind(
        r"dates?",
        "日期|保质期|有效期",
        r"(?<!\d)(?:\d{4}\s?年\s?\d{1,2}\s?月(?:\s?\d{1,2}\s?日)?|\d{1,2}\s?月\s?\d{1,2}\s?日|\d{4}([-/.])\d{1,2}\1\d{1,2}"
        r"|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2}))(?![\d.])"
        rf"|(?<![a-z]){_MONTH}\.?\s?\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s?\d{{4}})?(?!\d)"
        rf"|(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?\s?{_MONTH}(?![a-z])\.?,?(?:\s?\d{{4}})?",
    ),
    _kind(
        r"phones?|telephone|phone\s?numbers?|tel|hotline",
        "电话|手机号|热线",
        # With a plus, brackets, a leading 0, or grouped as they are: a bare row of digits is an article's number.
        r"(?<![\d.-])(?:\+\d[\d\s()-]{6,18}\d|\(\d{2,5}\)\s?\d[\d\s-]{4,12}\d|0\d{1,4}[\s-]\d{3,4}[\s-]?\d{3,4}"
        r"|\d{3}[\s.-]\d{3}[\s.-]\d{4}|[48]00[\s-]?\d{3}[\s-]?\d{4}|1[3-9]\d[\s-]?\d{4}[\s-]?\d{4})(?![\d.-]\d|\d)",
        range(7, 16),
    ),
    _kind(
        r"per\s?cents?|percentages?|discounts?",
        "%|折扣|百分比",
        rf"(?<![\d.,]){_NUMBER}\s?%|(?<![\d.])\d(?:\.\d)?\s?折",
    ),
)


def kind_of(name: str) -> Kind | None:
    """The one kind that `name` names; None for none, or several."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    found = [kind for kind in KINDS if kind.words.search(plain)]
    return found[0] if len(found) == 1 else None
