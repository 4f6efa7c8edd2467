"""The sweep: the same table whatever order and workers, interruptions that cost little, files that are never harmed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sweep_cells
from pandas.testing import assert_frame_equal

from gmrl_lab import sweep as module
from gmrl_lab.sweep import IN_FLIGHT, read_table, sweep, write_table

GRID = {"n": [1, 2, 3, 4], "kind": ["normal", "other"]}
run = partial(sweep, progress=False)


def parquet(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _workers_find_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


# --- one table ----------------------------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_the_grid_behind_their_settings() -> None:
    table = run(sweep_cells.draws, GRID)
    assert list(table.columns) == ["n", "kind", "row", "kind_seen", "total", "seed"]
    assert table["n"].tolist() == [n for n in (1, 2, 3, 4) for _ in range(4)]
    assert (table["kind"] == table["kind_seen"]).all()
    assert table.index.tolist() == list(range(16))


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_workers_change_nothing(n_jobs: int) -> None:
    assert_frame_equal(run(sweep_cells.draws, GRID, n_jobs=n_jobs), run(sweep_cells.draws, GRID))


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_backend_changes_nothing(backend: str) -> None:
    import joblib

    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = run(sweep_cells.draws, GRID)
    assert_frame_equal(found, run(sweep_cells.draws, GRID))


def test_threads_change_nothing_and_are_a_wish_alone() -> None:
    import joblib

    assert_frame_equal(run(sweep_cells.draws, GRID, n_jobs=2, threads=True), run(sweep_cells.draws, GRID))
    assert set(run(sweep_cells.worker, {"n": [1, 2]}, n_jobs=2, threads=True)["process"]) == {os.getpid()}
    assert not set(run(sweep_cells.worker, {"n": [1, 2]}, n_jobs=2)["process"]) & {os.getpid()}
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert not set(run(sweep_cells.worker, {"n": [1, 2]}, threads=True)["process"]) & {os.getpid()}


def test_a_sweep_outlives_its_threads(tmp_path: Path, log: Path) -> None:
    """One cell fails while another is at work: the sweep ends when that one has, and begins no further one."""
    cells = [{"n": 0, "pause": 0.05}, *({"n": n, "pause": 0.6} for n in range(1, 12))]
    with pytest.raises(RuntimeError, match="cell 0 fails"):
        run(sweep_cells.slow_or_failing, [cell | {"log": str(log)} for cell in cells], n_jobs=2, threads=True)
    assert not IN_FLIGHT
    begun = len(list(log.iterdir()))
    time.sleep(0.7)
    assert len(list(log.iterdir())) == begun < 11


def test_the_longest_begin_first_and_the_table_keeps_its_order(log: Path) -> None:
    grid = {"n": [2, 4, 1, 3], "log": [str(log)]}
    found = run(sweep_cells.logged, grid, n_jobs=1, cost=lambda settings: float(settings["n"]))
    assert begun(log) == [4, 3, 2, 1]
    assert_frame_equal(found, run(sweep_cells.logged, grid, n_jobs=1))
    assert begun(log)[4:] == [2, 4, 1, 3]


def begun(log: Path) -> list[int]:
    """The n of the cells in the order in which they began."""
    return [int(path.name.split("-")[0]) for path in sorted(log.iterdir(), key=lambda path: path.name.split("-")[-1])]


def test_a_point_that_stands_twice_is_computed_once(log: Path, tmp_path: Path) -> None:
    points = [{"n": n, "log": str(log)} for n in (1, 2, 1)]
    for cache in (None, tmp_path / "cache"):
        found = run(sweep_cells.logged, points, cache=cache)
        assert found["n"].tolist() == [1, 1, 2, 2, 1, 1]
        assert_frame_equal(found[4:].reset_index(drop=True), found[:2])
    assert sorted(begun(log)) == [1, 1, 2, 2]


def test_order_and_company_change_nothing() -> None:
    whole = run(sweep_cells.draws, GRID)
    points = [{"kind": kind, "n": n} for n in GRID["n"] for kind in GRID["kind"]]
    random.Random(0).shuffle(points)
    shuffled = run(sweep_cells.draws, points)
    keys = ["n", "kind", "row"]
    assert_frame_equal(shuffled.sort_values(keys, ignore_index=True)[list(whole)], whole)
    alone = run(sweep_cells.draws, [{"n": 3, "kind": "other"}])
    assert_frame_equal(alone, whole.query("n == 3 and kind == 'other'").reset_index(drop=True))


def test_seeds_differ_between_cells_and_sweeps_unless_paired() -> None:
    seeds = [set(run(sweep_cells.draws, GRID, seed=seed)["seed"]) for seed in (0, 1)]
    assert [len(found) for found in seeds] == [8, 8]
    assert not seeds[0] & seeds[1]
    paired = run(sweep_cells.draws, GRID, paired=["kind"])
    assert (paired.groupby("n")["seed"].nunique() == 1).all()
    assert paired["seed"].nunique() == 4
    assert (paired.groupby(["n", "row"])["total"].nunique() == 1).all()


def test_seeds_are_the_same_for_ever() -> None:
    """A change of these would make every cached and shipped result another one."""
    assert run(sweep_cells.draws, {"n": [1]})["seed"].tolist() == [6869769926240679159] * 2


def test_numpy_scalars_are_plain_values() -> None:
    plain = run(sweep_cells.draws, {"n": [1, 2]})
    assert_frame_equal(run(sweep_cells.draws, {"n": np.arange(1, 3)}), plain)
    assert_frame_equal(run(sweep_cells.draws, {"n": [np.int32(1), 2]}), plain)


def test_cells_may_have_no_rows() -> None:
    assert run(sweep_cells.empty, {"n": [1, 2, 3]})["n"].unique().tolist() == [1, 3]


# --- the cache ----------------------------------------------------------------------------------------------------


def test_cached_cells_are_not_computed_again(tmp_path: Path, log: Path) -> None:
    grid = {"n": [1, 2, 3], "log": [str(log)]}
    cache = tmp_path / "deep" / "cache"
    fresh = run(sweep_cells.logged, grid)
    first = run(sweep_cells.logged, grid, cache=cache)
    calls, files = len(list(log.iterdir())), parquet(cache)
    again = run(sweep_cells.logged, grid, cache=str(cache))
    more = run(sweep_cells.logged, {**grid, "n": [1, 2, 3, 4]}, cache=cache)
    assert calls == 6
    assert len(list(log.iterdir())) == 7
    assert files.items() <= parquet(cache).items()
    for found in (first, again, more[more["n"] < 4]):
        assert_frame_equal(found, fresh)


def test_another_seed_is_another_file(tmp_path: Path) -> None:
    tables = [run(sweep_cells.draws, {"n": [1]}, seed=seed, cache=tmp_path) for seed in (0, 1, 0)]
    assert len(parquet(tmp_path)) == 2
    assert_frame_equal(tables[0], tables[2])
    assert tables[0]["total"].tolist() != tables[1]["total"].tolist()


def test_a_file_says_what_made_it(tmp_path: Path) -> None:
    run(sweep_cells.draws, {"n": [1]}, seed=5, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    table, made = read_table(path)
    assert made["function"] == "sweep_cells.draws"
    assert made["settings"] == {"n": 1}
    assert [made["seed"]] * 2 == table["seed"].tolist()
    assert made["version"]
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_cell_that_fails_costs_no_other(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cell 3 fails"):
        run(sweep_cells.failing, {"n": [1, 2, 3, 4]}, cache=tmp_path, n_jobs=1)
    assert len(parquet(tmp_path)) == 2


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_kill_costs_the_cells_in_flight_alone(tmp_path: Path, log: Path, n_jobs: int) -> None:
    """kill -9 in the middle of a run in another process; the next call gives the uninterrupted table."""
    grid = {"n": list(range(1, 13)), "log": [str(log)], "pause": [0.15]}
    cache = tmp_path / "cache"
    code = "import sweep_cells\nfrom gmrl_lab.sweep import sweep\n"
    code += f"sweep(sweep_cells.slow, {grid!r}, cache={str(cache)!r}, n_jobs={n_jobs}, progress=False)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        finished = wait_for(lambda: len(list(cache.glob("*.parquet"))) >= 4 or process.poll() is not None)
        assert finished
        assert process.poll() is None, "the run ended before it could be killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept, begun = len(list(cache.glob("*.parquet"))), len(list(log.iterdir()))
    assert 4 <= kept < 12
    assert begun - kept <= 2 * n_jobs
    resumed = run(sweep_cells.slow, grid, cache=cache)
    assert len(list(log.iterdir())) == begun + 12 - kept
    assert_frame_equal(resumed, run(sweep_cells.slow, grid | {"pause": [0.15]}))


def wait_for(happened: object, seconds: float = 60.0) -> bool:
    assert callable(happened)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[Path]:
    """The file of a cell, which must not be touched by what follows."""
    run(sweep_cells.draws, {"n": [1]}, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    yield path
    assert list(tmp_path.iterdir()) == [path]


def refuses(path: Path, content: bytes, match: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        run(sweep_cells.draws, {"n": [1]}, cache=path.parent)
    assert str(path) in str(caught.value)
    assert "move this file away" in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [0, 1, 4, 0.5, -1])
def test_a_truncated_file_is_refused_and_left(cached: Path, kept: float) -> None:
    whole = cached.read_bytes()
    refuses(cached, whole[: int(kept * len(whole)) if isinstance(kept, float) else kept], "cache: got .*cannot be used")


def test_what_is_no_parquet_is_refused_and_left(cached: Path) -> None:
    refuses(cached, b"my notes, under an unlucky name", "cache: got .*cannot be used")


def test_a_foreign_parquet_is_refused_and_left(cached: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "other.parquet"
    pd.DataFrame({"x": [1.0]}).to_parquet(other)
    refuses(cached, other.read_bytes(), "cache: got .*cannot be used")
    write_table(other, pd.DataFrame({"x": [1.0]}), {"function": "another"})
    refuses(cached, other.read_bytes(), "allowed is the result of .*sweep_cells.draws")


@pytest.mark.parametrize("said", [b"[1, 2]", b"3", b"null", b"\xff", b"{"])
def test_a_file_that_says_nonsense_is_refused_and_left(
    cached: Path, said: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "other.parquet"
    pq.write_table(pq.read_table(cached).replace_schema_metadata({module.METADATA: said}), other)
    refuses(cached, other.read_bytes(), "cache: got .*cannot be used")


def test_a_flipped_byte_of_the_data_is_refused_or_harmless(cached: Path) -> None:
    """Every fifth byte in front of the footer, all of which Parquet's checksums cover."""
    whole, (table, _) = cached.read_bytes(), read_table(cached)
    refused = 0
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for at in range(0, footer, 5):
        cached.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            found, _ = read_table(cached)
        except ValueError:
            refused += 1
        else:
            assert_frame_equal(found, table)
    assert refused > footer / 10


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "table.parquet"
    write_table(path, pd.DataFrame({"x": [1]}), {})
    before = path.read_bytes()
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, pd.DataFrame({"x": [2]}), {})
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_cache_that_cannot_be_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(ValueError, match=r"cache: got .*file.*allowed is a folder"):
            run(sweep_cells.draws, {"n": [1]}, cache=path)


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [{}, [], [{}], {"n": []}, {"n": [1], "kind": []}, [{"n": 1}, {}]])
def test_empty_grid(grid: object) -> None:
    with pytest.raises(ValueError, match=r"grid: got .*at least one setting"):
        run(sweep_cells.draws, grid)


@pytest.mark.parametrize("values", ["LVC", 3, None])
def test_values_that_are_no_list(values: object) -> None:
    with pytest.raises(ValueError, match=r"grid\['kind'\]: got .*a list of values"):
        run(sweep_cells.draws, {"n": [1], "kind": values})


@pytest.mark.parametrize("value", [None, [1], (1, 2), {"a": 1}, float("nan"), float("inf"), 1j, b"x", np.zeros(2)])
def test_settings_that_are_no_plain_value(value: object) -> None:
    with pytest.raises(ValueError, match=r"grid\['n'\]: got .*finite numbers"):
        run(sweep_cells.draws, {"n": [1, value]})


def nested() -> object:
    def inner(*, n: int, seed: int) -> list[dict[str, object]]:
        return []

    return inner


@pytest.mark.parametrize("function", [lambda n, seed: [], nested(), partial(sweep_cells.draws, kind="x")])
def test_functions_without_a_name_of_their_own(function: object) -> None:
    with pytest.raises(ValueError, match=r"function: got .*top of a module"):
        run(function, {"n": [1]})


@pytest.mark.parametrize("seed", [-1, 0.5, True, None])
def test_bad_seed(seed: object) -> None:
    with pytest.raises(ValueError, match=r"seed: got .*a whole number"):
        run(sweep_cells.draws, {"n": [1]}, seed=seed)


def test_paired_names_that_are_no_settings() -> None:
    with pytest.raises(ValueError, match=r"paired: got \['knd'\], allowed is names of settings, n, kind"):
        run(sweep_cells.draws, GRID, paired=["knd"])


@pytest.mark.parametrize("name", ["joblib", "tqdm", "pyarrow"])
def test_missing_package_names_the_extra(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [x for x in sys.modules if x.partition(".")[0] == name]:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{name}.* is missing: pip install 'gmrl_lab\[lab\]'"):
        run(sweep_cells.draws, {"n": [1]}, cache=tmp_path)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar(progress: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(sweep_cells.draws, {"n": [1, 2]}, progress=False, cache=tmp_path)
    sweep(sweep_cells.draws, {"n": [1, 2, 3, 4]}, progress=progress, cache=tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("4/4" in captured.err and "draws" in captured.err) == progress
    assert bool(captured.err) == progress


# --- a cluster ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dask_cluster_that_loses_a_worker_gives_the_serial_table(tmp_path: Path, log: Path) -> None:
    """Two worker processes on this machine; one is killed while it works."""
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra [cluster]")
    import joblib

    grid = {"n": list(range(1, 17)), "log": [str(log)], "pause": [0.3]}
    address = {"host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1}
    killed = []
    with distributed.LocalCluster(n_workers=2, **address) as cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=120)
        pids = set(client.run(os.getpid).values())

        def kill_one() -> None:
            if wait_for(lambda: workers(log) == pids and len(list((tmp_path / "cache").glob("*.parquet"))) >= 3, 120):
                killed.append(min(pids))
                os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            found = run(sweep_cells.slow, grid, cache=tmp_path / "cache")
        killer.join()
    assert killed, "no worker was killed: nothing has been tested"
    assert len(list(log.iterdir())) > 16, "the cell in flight was begun twice"
    assert_frame_equal(found, run(sweep_cells.slow, grid))


def workers(log: Path) -> set[int]:
    """The processes that have begun a cell."""
    return {int(path.name.split("-")[1]) for path in log.iterdir()}
