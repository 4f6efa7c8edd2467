"""Grids: the same table however it was made, runs that are not done twice, and a table that says what made each."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from gmrl_lab.atari import grid as module
from gmrl_lab.atari.figures import draw
from gmrl_lab.atari.grid import Grid, curve_table, grid, on_cluster, record
from gmrl_lab.atari.provenance import commit
from gmrl_lab.atari.training import Training, train
from gmrl_lab.sweep import read_table


def test_a_grid_goes_on_and_its_runs_can_be_repeated_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Grid(("CartPole",), ("a2c", "mgrl-lvc"), (0, 1), 2000)
    first = grid(Grid(("CartPole",), ("a2c",), (0,), 2000), tmp_path, progress=False)
    table = grid(runs, tmp_path, progress=False)
    assert table.groupby(["variant", "seed"], sort=False).ngroups == 4
    assert_frame_equal(table[(table["variant"] == "a2c") & (table["seed"] == 0)].reset_index(drop=True), first)
    alone = Training.at("CartPole", seed=1, variant="mgrl-lvc", total_steps=2000)
    rows = table[(table["variant"] == "mgrl-lvc") & (table["seed"] == 1)].reset_index(drop=True)
    assert_frame_equal(
        rows[first.columns], curve_table(alone, train(alone, progress=False))[first.columns], check_exact=True
    )
    monkeypatch.setattr("gmrl_lab.atari.grid.train", None)
    assert_frame_equal(grid(runs, tmp_path, progress=False), table), "nothing is trained again"
    assert len(draw("4", table).data) == 2 * 4, "for each variant early, scored, a band, and its name in the legend"


def test_a_table_of_runs_says_what_made_each(tmp_path: Path) -> None:
    runs = Grid(("CartPole",), ("a2c", "mgrl"), (0, 1), 1000)
    alone = Training.at("CartPole", seed=1, variant="a2c", total_steps=1000)
    command = ("gmrl-lab", "train", "--out", "/there/run")
    train(alone, folder=tmp_path / "CartPole-a2c-1", progress=False, command=command)
    table = grid(runs, tmp_path, progress=False)
    made = record(table, tmp_path, ("gmrl-lab", "train-grid", "--out", str(tmp_path)))
    assert made["command"] == f"gmrl-lab train-grid --out {tmp_path.name}"
    assert made["commands"]["CartPole-a2c-1"] == "gmrl-lab train --out run"
    assert list(made["commands"]) == [f"CartPole-{variant}-{seed}" for variant in ("a2c", "mgrl") for seed in (0, 1)]
    assert set(made["commits"].values()) == {made["commit"]} == {commit()}
    assert (made["seeds"], made["steps"]) == ([0, 1], 1000)
    assert made["versions"] == read_table(tmp_path / "CartPole-mgrl-0" / "metrics.parquet")[1]["versions"]
    assert "no verdict" in made["note"]
    last = read_table(tmp_path / "CartPole-mgrl-0" / "metrics.parquet")[0].iloc[-1]
    assert made["steps_per_second"]["CartPole-mgrl-0"] == round(last["env_steps"] / last["seconds"])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes where Linux has them")
def test_a_killed_grid_leaves_no_worker_behind_and_resumes(tmp_path: Path) -> None:
    """Without warning, once a run is finished and others are at work."""
    names = {"--games": ["CartPole"], "--variants": ["a2c"], "--seeds": ["0", "1", "2"], "--steps": ["16_000"]}
    words = [word for name, values in names.items() for word in (name, *values)]
    command = [sys.executable, "-m", "gmrl_lab.cli", "train-grid", "--jobs", "2", "--out", str(tmp_path), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(module.__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finished, end = tmp_path / "finished", time.monotonic() + 600
    while not list(finished.glob("*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed in the middle"
    assert len(workers) >= 2
    end = time.monotonic() + 60  # joblib's idle ones would wait for 300 s
    while any(map(alive, workers)):
        assert time.monotonic() < end, "a worker outlived its grid"
        time.sleep(0.1)
    assert len(list(finished.glob("*.parquet"))) < 3
    runs = Grid(("CartPole",), ("a2c",), (0, 1, 2), 16_000)
    assert_frame_equal(grid(runs, tmp_path, progress=False), grid(runs, tmp_path / "other", progress=False))


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_table(tmp_path: Path) -> None:
    """Two worker processes on this machine, found by the scheduler's address as on the command line."""
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra [cluster]")
    runs = Grid(("RandomMDP",), ("a2c", "mgrl-lvc"), (0, 1), 640)
    alone = grid(runs, tmp_path / "alone", progress=False)
    address = {"host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1}
    with (
        distributed.LocalCluster(n_workers=2, **address) as cluster,
        on_cluster(cluster.scheduler_address),
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        table = grid(runs, tmp_path / "cluster", n_jobs=None, progress=False)
        assert any(client.run(lambda: module.__name__ in sys.modules).values()), "the workers did it"
    assert_frame_equal(table, alone)


def test_what_is_no_grid_is_named_before_it_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"game: got 'Pong', allowed is one of 'Asteroids'"):
        Grid(("Qbert", "Pong"))
    with pytest.raises(ValueError, match="grid: got no runs"):
        Grid(())
    with pytest.raises(ValueError, match=r"folder: got .*, where none of these runs is finished"):
        grid(Grid(("CartPole",)), tmp_path, only_finished=True)
