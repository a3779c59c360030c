"""What an experiment reports. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows of an experiment; shares are floats in [0, 1], and None is what was not measured or published.

    ``more`` are further tables of the same experiment.

    Columns whose name ends in "(published)" hold figures of the paper, on other images and another model.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    more: tuple[Table, ...] = ()

    def column(self, name: str) -> dict[str, Cell]:
        """First cell of each row -> the cell of a column."""
        place = self.columns.index(name)
        return {str(row[0]): row[place] for row in self.rows}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
            "settings": self.settings,
            **({"more": [table.to_dict() for table in self.more]} if self.more else {}),
        }

    def markdown(self) -> str:
        """For the docs."""
        head = [" | ".join(self.columns), " | ".join("---" for _ in self.columns)]
        lines = [*head, *(" | ".join(written(cell) for cell in row) for row in self.rows)]
        return "\n".join(f"| {line} |" for line in lines) + "\n"


def written(cell: Cell) -> str:
    """A share to three decimals, a dash for None."""
    return "–" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell)
