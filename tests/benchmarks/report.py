"""Tables of medians, aligned for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

Cell = str | float | None


@dataclass
class Table:
    """A title, a head, rows. A first column of names, then numbers."""

    title: str
    head: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        self.rows.append(cells)

    def lines(self, *, markdown: bool) -> list[str]:
        body = [[shown(cell) for cell in row] for row in self.rows]
        return _markdown(self.title, self.head, body) if markdown else _plain(self.title, self.head, body)


def show(conditions: dict[str, str], tables: Iterable[Table], notes: Sequence[str] = (), *, markdown: bool) -> None:
    """Print everything."""
    if markdown:
        print("\n".join(f"- {key}: `{value}`" for key, value in conditions.items()))
    else:
        print("\n".join(f"  {key}: {value}" for key, value in conditions.items()))
    for table in tables:
        print("", *table.lines(markdown=markdown), sep="\n")
    if notes:
        print("", "Notes:" if markdown else "notes", "", *(f"- {note}" for note in notes), sep="\n")


def middle(numbers: Iterable[float | None]) -> float | None:
    """Return the median of what is known."""
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


def spread_percent(numbers: Sequence[float]) -> float | None:
    """Return half the distance between best and worst, in percent of the median; None of one number."""
    centre = middle(numbers)
    return 50 * (max(numbers) - min(numbers)) / centre if len(numbers) > 1 and centre else None


def shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 1 else f"{cell:.2f}"


def _markdown(title: str, head: Sequence[str], body: list[list[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"**{title}**", "", *("| " + " | ".join(row) + " |" for row in (head, rule, *body))]


def _plain(title: str, head: Sequence[str], body: list[list[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in (head, *body)) for place in range(len(head))]
    return [title] + [
        "  "
        + "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in _cells(row, widths))
        for row in (head, *body)
    ]


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(zip(row, widths, strict=True))
