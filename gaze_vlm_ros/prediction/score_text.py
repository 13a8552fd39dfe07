"""Scores as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def score_table(title: str, heads: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> str:
    """Return a table of scores, a row for each name; counts are int, and None is a dash."""

    def line(name: str, cells: Sequence[str]) -> str:
        return f"{name:<26}" + "".join(
            f"{cell:>{max(10, len(head) + 2)}}" for cell, head in zip(cells, heads, strict=True)
        )

    return "\n".join([line(title, heads), *(line(name, [_cell(cell) for cell in row]) for name, row in rows.items())])


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
