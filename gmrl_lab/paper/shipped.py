"""Results that come with the package: each figure's table at the paper's scale, and what made it."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from gmrl_lab._validate import bad
from gmrl_lab.paper.figures import Run
from gmrl_lab.sweep import read_table, write_table

FOLDER = Path(__file__).resolve().parent.parent / "data"


def shipped(figure: str) -> pd.DataFrame:
    """The table of a figure at the paper's scale, as it was computed for this package.

    Args:
        figure: its number in the paper, such as "5".

    Returns:
        The table; `table.attrs` has the command, version, seed, scale and date that made it.

    Raises:
        ValueError: if no such result is shipped, or its file is damaged.

    Taught in lesson 08.
    """
    return read("figure", figure, "figure")


def read(kind: str, name: str, argument: str) -> pd.DataFrame:
    """The shipped table `{kind}_{name}.parquet`, with what made it in its `attrs`; errors name `argument`."""
    path = FOLDER / f"{kind}_{name}.parquet"
    if not path.exists():
        known = sorted(found.stem.removeprefix(f"{kind}_") for found in FOLDER.glob(f"{kind}_*.parquet"))
        raise bad(argument, repr(name), "one of those shipped: " + (", ".join(map(repr, known)) or "none"))
    table, made = read_table(path)
    table.attrs.update(made)
    return table


def save(path: Path, table: pd.DataFrame, run: Run, command: Sequence[str]) -> None:
    """Write a figure's table and what made it, under a temporary name first."""
    from gmrl_lab import __version__

    made: dict[str, Any] = {
        "command": shlex.join(command),
        "version": __version__,
        "seed": run.seed,
        "scale": run.size.name,
        "date": datetime.now(UTC).date().isoformat(),
    }
    write_table(path, table, made)
