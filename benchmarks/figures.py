"""The paper's figures: what a command takes in all, how a cell's cost grows, and the largest MDP for an explorer."""

import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import gmrl_lab as gl
from benchmarks.measure import Row, cpu_seconds
from gmrl_lab.paper.cells import maml


def rows() -> list[Row]:
    """The paper's tabular figures by the command line, in fresh processes; and how a cell's cost grows."""
    rows = []
    for number, scale, goal in (("5", "paper", 10), ("all", "ci", 15), ("all", "paper", 120)):
        wall, cpu, peak = _command("figure", number, "--scale", scale, "--cache", "None")
        measured = f"{wall:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GB"
        what = f"gmrl-lab figure {number} --scale {scale}, all processes together"
        rows.append(Row(what, measured, f"under {goal} s, under 2 GB", wall < goal and peak < 2))
    small = {"estimator": "LVC", "n_trajectories": 32, "parts": "SEE ESE SSS", "seed": 0}
    for axis, value in {"n_trajectories": 32, "horizon": 20, "n_inner_steps": 1, "n_trials": 20}.items():
        one, eight = (cpu_seconds(partial(maml, **{**small, axis: x})) for x in (value, 8 * value))
        exponent = math.log(eight / one) / math.log(8)
        measured = f"{one:.2f} s to {eight:.2f} s of CPU, exponent {exponent:.2f}"
        what = f"a cell of Figure 5, {axis} from {value} to {8 * value}"
        rows.append(Row(what, measured, "exponent at most 1.1", exponent <= 1.1))
    return [*rows, _largest_mdp()]


def _command(*arguments: str) -> tuple[float, float, float]:
    """Wall time and CPU time in s of a command with its workers, and the most memory they had together in GB."""
    begin, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "gmrl_lab.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(_resident(stat, run.pid) for stat in Path("/proc").glob("[0-9]*/stat")))
            time.sleep(0.05)
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {run.returncode}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, peak / 1e9


def _resident(stat: Path, session: int) -> int:
    """Bytes in memory of a process of this session, what it shares with others counted in each; 0 for another."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if int(fields[3]) == session else 0


def _largest_mdp() -> Row:
    """Doubling the states of lesson 02's MDP, five actions: where do its estimates take more than 200 ms?"""
    oracle = gl.Sampled(gl.LVC(), 32)
    found = "none"
    for n_states in (20, 40, 80, 160, 320, 640):
        task, phi = gl.MAML(gl.random_mdp(n_states)), torch.zeros(n_states, 5, dtype=torch.float64)

        def work(task: gl.Task = task, phi: Tensor = phi) -> None:
            gl.meta_gradient(task, phi)
            gl.meta_gradient(task, phi, 1, 10.0, oracle, oracle, oracle, n_trials=20, generator=gl.generators(0, 20))

        taken = cpu_seconds(work, repeats=5)
        if taken > 0.2:
            break
        found = f"{n_states} states ({1e3 * taken:.0f} ms of CPU)"
    return Row("largest MDP whose estimates, exact one included, take under 200 ms in lesson 02's explorer", found)
