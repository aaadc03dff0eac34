"""
Text in aligned columns that never exceeds a line, and numbers as people read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 100
_GAP: Final = "  "
_SHORTEST_NAME: Final = 12
_THOUSAND: Final = 1000
_ONE_DECIMAL_BELOW: Final = 100
_UNITS: Final = ((1000, "ms", 1), (120, "s", 1000), (120, "min", 60_000), (72, "h", 3_600_000))
_DAY_MS: Final = 86_400_000


class Table(NamedTuple):
    """headings and rows have as many columns; the first holds names, the others numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def numbers_width(self) -> int:
        """What all columns but the first need."""
        return sum(len(_GAP) + max(map(len, column)) for column in self._columns()[1:])

    @property
    def names_width(self) -> int:
        """What the first column wants."""
        return max(map(len, self._columns()[0]))

    def _columns(self) -> list[tuple[str, ...]]:
        return list(zip(self.headings, *self.rows, strict=True))


def aligned(tables: Sequence[Table]) -> list[str]:
    """Return *tables* as texts whose numbers begin in the same column; long names lose their middle."""
    widest = max((table.numbers_width for table in tables), default=0)
    names = max((table.names_width for table in tables), default=0)
    width = max(min(names, WIDTH - widest), _SHORTEST_NAME)
    return [_text(table, width) for table in tables]


def clipped(text: str, width: int = WIDTH) -> str:
    """Return *text* with so much of its middle left out that it fits."""
    if len(text) <= width:
        return text
    left = (width - 1) * 2 // 3
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def number(value: int) -> str:
    """Return a count with its thousands marked."""
    return f"{value:,}"


def rate(value: float | None) -> str:
    """Return a number per second, or a dash for one that is not known."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if 0 < value < _ONE_DECIMAL_BELOW else f"{value:,.0f}"


def duration(milliseconds: float) -> str:
    """Return a time span in the unit that suits it: `40 ms`, `3.2 s`, `12 min`, `5 h`, `4 d`."""
    for below, unit, size in _UNITS:
        if milliseconds < below * size:
            decimals = 1 if unit == "s" and milliseconds < _THOUSAND * 10 else 0
            return f"{milliseconds / size:.{decimals}f} {unit}"
    return f"{milliseconds / _DAY_MS:.0f} d"


def _text(table: Table, width: int) -> str:
    columns = [max(map(len, column)) for column in zip(table.headings, *table.rows, strict=True)]
    lines = []
    for name, *numbers in (table.headings, *table.rows):
        cells = [cell.rjust(size) for cell, size in zip(numbers, columns[1:], strict=True)]
        lines.append(_GAP.join([clipped(name, width).ljust(width), *cells]).rstrip())
    return "\n".join(lines)
