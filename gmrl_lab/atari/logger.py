"""What a run tells: a row of numbers for each update, one for each finished game, and the score of the paper."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import torch

from gmrl_lab._validate import bad
from gmrl_lab.sweep import write_table

Row = Mapping[str, float]
SCORED = 64
"""Games whose mean true return is the score, as in the paper."""
CLOCK = "seconds"
"""The one column that differs between two runs of one seed."""


class Logger:
    """Two tables that grow, `metrics` and `games`; their state is part of a checkpoint, so that a run can go on.

    A row must have the columns of the first one.

    Taught in lesson 14.
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, list[float]]] = {"metrics": {}, "games": {}}

    def log(self, row: Row) -> None:
        """Add an update: its counters, losses, gradient norms, meta-parameters."""
        self._add("metrics", row)

    def log_game(self, row: Row) -> None:
        """Add a finished game: when it ended, its true return, its length."""
        self._add("games", row)

    def __len__(self) -> int:
        """Logged updates."""
        return len(next(iter(self._tables["metrics"].values()), []))

    @property
    def score(self) -> float:
        """Mean true return of the last 64 finished games; NaN before the first."""
        returns = self._tables["games"].get("return", [])[-SCORED:]
        return fmean(returns) if returns else float("nan")

    @property
    def n_games(self) -> int:
        """Finished games."""
        return len(self._tables["games"].get("return", []))

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each update."""
        return pd.DataFrame(self._tables["metrics"])

    @property
    def games(self) -> pd.DataFrame:
        """A row for each finished game."""
        return pd.DataFrame(self._tables["games"])

    def state_dict(self) -> dict[str, dict[str, torch.Tensor]]:
        """Both tables as tensors, exactly."""
        tensors = {}
        for table, rows in self._tables.items():
            tensors[table] = {name: torch.from_numpy(np.array(column)) for name, column in rows.items()}
        return tensors

    @classmethod
    def from_state(cls, state: Mapping[str, Mapping[str, torch.Tensor]]) -> "Logger":
        """The logger whose `state_dict` this is."""
        found = cls()
        for table, rows in state.items():
            found._tables[table] = {name: column.tolist() for name, column in rows.items()}
        return found

    def write(self, folder: Path, made: Mapping[str, object]) -> None:
        """Both tables as Parquet, `metrics.parquet` and `games.parquet`, with the words on what made them."""
        for name, rows in self._tables.items():
            write_table(folder / f"{name}.parquet", pd.DataFrame(rows), made)

    def _add(self, table: str, row: Row) -> None:
        columns = self._tables[table]
        if columns and set(columns) != set(row):
            raise bad(f"row of {table}", sorted(row), f"the columns of the first one, {sorted(columns)}")
        if wrong := [name for name, value in row.items() if not isinstance(value, int | float | np.number)]:
            raise bad(f"{table}[{wrong[0]!r}]", repr(row[wrong[0]]), "a number")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
