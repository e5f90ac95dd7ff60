"""The table of families in docs/models.md, written from what the tests go through.

python -m tests.worlds.families_table     # rewrites it
"""

from __future__ import annotations

from pathlib import Path

from tests.worlds.families import FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_BEGIN, _END = "<!-- families: python -m tests.worlds.families_table -->\n", "<!-- end of families -->\n"


def table() -> str:
    """In markdown, one line for all families that are asked in the same way."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in FAMILIES:
        groups.setdefault((one.asks, one.cache), []).append(f"{one.name} (`{one.model_type}`)")
    lines = ["| questions | cache | families (`model_type`) |", "|---|---|---|"]
    lines += [f"| {asks} | {cache} | {', '.join(names)} |" for (asks, cache), names in groups.items()]
    return "\n".join(lines) + "\n"


def on_the_page() -> str:
    """What stands between the two comments."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    return rest.partition(_END)[0]


def rewrite() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(before + _BEGIN + table() + _END + after, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
