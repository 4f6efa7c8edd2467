"""A grid and a pure function in, a tidy table out: parallel, cached, resumable, the same whatever the order.

    table = sweep(cell, {"n_trajectories": [2, 4, 8], "estimator": ["LVC", "AD"]}, seed=0, cache="results")

`cell(n_trajectories=2, estimator="LVC", seed=…)` gives rows; each gets the settings of its cell as columns. A cell's
seed depends on `seed` and on its own settings alone, so that neither the order, nor the number of workers, nor what
else is in the grid can change a result. A finished cell is a file at once: what was interrupted goes on.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import torch

from gmrl_lab._files import replacing
from gmrl_lab._validate import bad, check_whole, lab_extra

Scalar = str | int | float | bool
Rows = pd.DataFrame | Sequence[Mapping[str, object]]
Grid = Mapping[str, Sequence[Scalar]] | Sequence[Mapping[str, Scalar]]

METADATA = b"gmrl_lab"
"""The key under which a Parquet file says what made it."""


@dataclass(frozen=True)
class Cell:
    """One point of a grid: its settings, its seed, and the words that identify its result."""

    function: str
    settings: tuple[tuple[str, Scalar], ...]
    seed: int

    @property
    def identity(self) -> dict[str, object]:
        """What a cached result must say about itself to be this cell's."""
        return {"function": self.function, "settings": dict(self.settings), "seed": self.seed}

    @property
    def file_name(self) -> str:
        """Its result's, such as `figure_5-3f2a….parquet`."""
        return f"{self.function.rpartition('.')[2]}-{_digest(self.identity)[:20]}.parquet"


def sweep(
    function: Callable[..., Rows],
    grid: Grid,
    *,
    seed: int = 0,
    paired: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    threads: bool = False,
    progress: bool = True,
    cost: Callable[[Mapping[str, Scalar]], float] | None = None,
) -> pd.DataFrame:
    """Call `function` at each point of a grid and put all rows into one table.

    A point that stands in the grid twice is computed once.

    Args:
        function: pure, defined at the top of a module; takes the settings and `seed` by name; returns a table or rows.
        grid: names → values, all combinations of them; or a list of settings.
        seed: of the whole sweep. Each cell's comes from `numpy.random.SeedSequence(seed, its settings)`.
        paired: settings that do not enter the seed, so that cells that differ in these alone use common random numbers.
        cache: a folder for finished cells; None keeps nothing. Results of a function that you have changed since
            are taken for its own: give it another folder.
        n_jobs: workers; None follows `joblib.parallel_config`, which also names another backend, such as Dask.
        threads: let workers be threads of this process where no backend is named. Processes take seconds to start, for
            each imports PyTorch anew; threads pay where a cell's time goes into large tensors, which lets others run.
        progress: a bar with the time left; in a notebook a widget.
        cost: settings → how long their cell takes, in any unit. The longest begin first, so that at the end no worker
            waits long for another; None begins in the order of the grid.

    Returns:
        A row per row of the cells, in the order of the grid; the settings first.

    Raises:
        ValueError: for an empty grid, a setting that is no plain value, a cache that cannot be a folder, or a file in
            it that is not this cell's result. Such a file is never overwritten.
        ModuleNotFoundError: without joblib, tqdm or pyarrow, the extra [lab].

    Taught in lesson 08.
    """
    check_whole("seed", seed, 0)
    cells = _cells(function, grid, seed, paired)
    folder = None if cache is None else _folder(Path(cache))
    found = {cell: table for cell in set(cells) if folder and (table := _load(folder, cell)) is not None}
    todo = [cell for cell in dict.fromkeys(cells) if cell not in found]
    if cost is not None:
        todo.sort(key=lambda cell: cost(dict(cell.settings)), reverse=True)
    for cell, table in _computed(function, todo, len(found), n_jobs, threads, progress):
        if folder:
            _store(folder, cell, table)
        found[cell] = table
    return pd.concat([_with_settings(cell, found[cell]) for cell in cells], ignore_index=True)


def write_table(path: Path, table: pd.DataFrame, metadata: Mapping[str, object]) -> None:
    """A table and what made it as Parquet, written under a temporary name and renamed."""
    with lab_extra():
        import pyarrow as pa
        import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    own = {METADATA: json.dumps(metadata, sort_keys=True).encode()}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **own})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and what made it.

    Raises:
        ValueError: if the file is no Parquet, is damaged, or does not say what made it.
    """
    with lab_extra():
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path, page_checksum_verification=True)
        metadata = dict(json.loads((arrow.schema.metadata or {})[METADATA]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        words = "a Parquet table written by gmrl_lab; move this file away (it is left as it is)"
        raise bad("cache", f"{path}, which cannot be used ({type(error).__name__}: {error})", words) from error
    return arrow.to_pandas(), metadata


def _cells(function: Callable[..., Rows], grid: Grid, seed: int, paired: Sequence[str]) -> list[Cell]:
    own_name = getattr(function, "__qualname__", "<unnamed>")
    if "<" in own_name:
        raise bad("function", own_name, "a function defined at the top of a module")
    name = f"{function.__module__}.{own_name}"
    points = _points(grid)
    for point in points:
        missing = set(paired) - set(point)
        if missing:
            raise bad("paired", sorted(missing), f"names of settings, {', '.join(point)}")
    return [Cell(name, tuple(point.items()), _cell_seed(seed, point, paired)) for point in points]


def _points(grid: Grid) -> list[dict[str, Scalar]]:
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise bad(f"grid[{name!r}]", repr(values), "a list of values")
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    else:
        points = [dict(point) for point in grid]
    if not points or not all(points):
        raise bad("grid", grid, "at least one setting with at least one value")
    points = [{name: x.item() if isinstance(x, np.generic) else x for name, x in point.items()} for point in points]
    for name, value in (item for point in points for item in point.items()):
        if not isinstance(value, Scalar) or (isinstance(value, float) and not np.isfinite(value)):
            raise bad(f"grid[{name!r}]", repr(value), "words, finite numbers, True and False")
    return points


def _cell_seed(seed: int, point: Mapping[str, Scalar], paired: Sequence[str]) -> int:
    """63 bits from `seed` and the settings, whatever their order."""
    unpaired = {name: value for name, value in point.items() if name not in paired}
    words = [int(_digest(unpaired)[i : i + 8], 16) for i in range(0, 32, 8)]
    return int(np.random.SeedSequence(seed, spawn_key=words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _computed(
    function: Callable[..., Rows], todo: list[Cell], n_found: int, n_jobs: int | None, threads: bool, progress: bool
) -> Iterator[tuple[Cell, pd.DataFrame]]:
    """Results as they come, each with its cell."""
    if not todo:
        return
    with lab_extra():
        import joblib
        from tqdm.auto import tqdm

    soft = {"prefer": "threads"} if threads else {}
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, **soft)
    own_threads, working = torch.get_num_threads(), f"{uuid4()}"
    results = parallel(joblib.delayed(_call)(function, cell, working) for cell in todo)
    bar = {"total": n_found + len(todo), "initial": n_found, "disable": not progress}
    try:
        with warnings.catch_warnings():
            # joblib renews a process that has grown, and warns of a leak; nothing is lost by it.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
            yield from tqdm(results, desc=function.__name__.strip("_"), **bar)
    finally:
        results.close()
        while any(sweep == working for sweep, _ in tuple(IN_FLIGHT)):
            sleep(0.01)  # threads cannot be killed, and one that outlived Python would take it down
        torch.set_num_threads(own_threads)


IN_FLIGHT: set[tuple[str, Cell]] = set()
"""The cells that threads of this process are computing, each with its sweep."""


def _call(function: Callable[..., Rows], cell: Cell, working: str) -> tuple[Cell, pd.DataFrame]:
    """One cell, on one of PyTorch's threads: sums are then added in the same order wherever it runs."""
    torch.set_num_threads(1)
    _end_with_parent()
    IN_FLIGHT.add((working, cell))
    try:
        return cell, pd.DataFrame(function(**dict(cell.settings), seed=cell.seed))
    finally:
        IN_FLIGHT.discard((working, cell))


@cache
def _end_with_parent() -> None:
    """A worker whose sweep was killed ends within a second: it would go on with its cell for hours, then wait for more.

    Once for each process; nothing in one that no other started for this.
    """
    parent = parent_process()
    if parent is not None:
        Thread(target=_watch, args=(parent.pid,), daemon=True).start()


def _watch(parent: int | None) -> None:
    while os.getppid() == parent:
        sleep(1.0)
    os._exit(1)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad("cache", f"{path} ({error.strerror})", "a folder, there or to be made") from error
    return path


def _load(folder: Path, cell: Cell) -> pd.DataFrame | None:
    path = folder / cell.file_name
    if not path.exists():
        return None
    table, metadata = read_table(path)
    if {name: metadata.get(name) for name in cell.identity} != cell.identity:
        words = f"the result of {cell.identity}; move this file away (it is left as it is)"
        raise bad("cache", f"{path}, the result of {metadata}", words)
    return table


def _store(folder: Path, cell: Cell, table: pd.DataFrame) -> None:
    from gmrl_lab import __version__

    write_table(folder / cell.file_name, table, {**cell.identity, "version": __version__})


def _with_settings(cell: Cell, table: pd.DataFrame) -> pd.DataFrame:
    settings = {name: value for name, value in cell.settings if name not in table}
    front = pd.DataFrame({name: [value] * len(table) for name, value in settings.items()}, index=table.index)
    return pd.concat([front, table], axis=1)
