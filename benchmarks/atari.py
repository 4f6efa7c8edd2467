"""A2C beside stable-baselines3's, MGRL beside A2C, LVC beside plain autodiff, a million steps, and memory over time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from tqdm.auto import tqdm

from benchmarks.measure import ROOT, Row
from gmrl_lab.atari.environments import make
from gmrl_lab.atari.learner import Learner
from gmrl_lab.atari.settings import Table4
from gmrl_lab.atari.training import SCALES
from gmrl_lab.atari.vector import VectorEnvironment

ROUNDS, FEWEST, UPDATES = 12, 3, 2000
LIMIT = 150.0
"""Seconds after which no further round begins, if the fewest are done; and of the updates whose memory is watched."""
NETWORKS = {(4, size, size): network for network, size in SCALES.values()}
STEPS = 320
"""Environment steps of A2C in a round: one update of 64 environments."""


class Spent(NamedTuple):
    """Wall and CPU time in ms for each environment step."""

    wall: float
    cpu: float


class Contestant(Protocol):
    """Something that learns Qbert."""

    def learn(self) -> Spent:
        """At least 320 steps."""
        ...


class Ours:
    """A variant in an environment, which it may share: to start one takes as long as thirty rounds."""

    def __init__(self, environment: VectorEnvironment, variant: str, strategy: str = "online") -> None:
        self.environment = environment
        settings = Table4(variant, strategy, NETWORKS[environment.observation_shape], n_envs=environment.n_envs)
        self.learner = Learner(settings, environment.observation_shape, environment.n_actions)
        self.state = self.learner.init(0)

    def learn(self) -> Spent:
        """Whole updates; with MGRL these may be more than 320 steps."""
        before, wall, cpu = self.state.env_steps, time.perf_counter(), time.process_time()
        while self.state.env_steps < before + STEPS:
            self.update()
        steps = self.state.env_steps - before
        return Spent(1e3 * (time.perf_counter() - wall) / steps, 1e3 * (time.process_time() - cpu) / steps)

    def update(self) -> None:
        """One update; with MGRL a meta-update with its inner ones."""
        self.state, _ = self.learner.update(self.state, lambda policy: self.environment.rollout(policy, 5))


class Theirs:
    """stable-baselines3's A2C: its Atari wrappers, its network (the same convolutions), its defaults."""

    def __init__(self, n_envs: int) -> None:
        command = [sys.executable, "-m", "benchmarks.baselines3", str(n_envs)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, cwd=ROOT, **streams)

    def learn(self) -> Spent:
        """320 steps in updates of 5 steps in all environments."""
        print(STEPS, file=self.process.stdin, flush=True)
        told = next((line for line in self.process.stdout if line.startswith("spent ")), None)
        if told is None:
            raise RuntimeError(f"{' '.join(self.process.args)} ended with status {self.process.wait()}")
        return Spent(*(1e3 * float(word) / STEPS for word in told.split()[1:]))

    def close(self) -> None:
        """End it, as the end of what it reads does."""
        self.process.communicate()


def rows() -> list[Row]:
    """All of them in turn, round after round, so that what else the machine does meets each alike."""
    theirs = _theirs()  # they start meanwhile
    full, reduced = (make("Qbert", 64, seed=0, size=size) for _, size in SCALES.values())
    runs: dict[str, Contestant] = {
        "A2C": Ours(full, "a2c"),
        "A2C, 16 environments": Ours(make("Qbert", 16, seed=0), "a2c"),
        **theirs,
        "MGRL": Ours(full, "mgrl"),
        "MGRL + LVC": Ours(full, "mgrl-lvc"),
        "MGRL + LVC, discard": Ours(full, "mgrl-lvc", "discard"),
        "MGRL, fully corrected": Ours(full, "mgrl-full"),
        "A2C, reduced": Ours(reduced, "a2c"),
        "MGRL + LVC, reduced": Ours(reduced, "mgrl-lvc"),
    }
    times = _rounds(runs)
    for other in theirs.values():
        other.close()
    return [*_speeds(times), *_ratios(times), _memory()]


def _rounds(runs: dict[str, Contestant]) -> dict[str, list[Spent]]:
    times: dict[str, list[Spent]] = {name: [] for name in runs}
    end = time.monotonic() + LIMIT
    with tqdm(total=(ROUNDS + 1) * len(runs), desc="rounds") as bar:
        for turn in range(ROUNDS + 1):
            if turn > FEWEST and time.monotonic() > end:
                break
            for name, run in runs.items():
                spent = run.learn()
                bar.update()
                if turn:  # the first also warms up
                    times[name].append(spent)
    return times


def _theirs() -> dict[str, Theirs]:
    missing = [name for name in ("stable_baselines3", "cv2") if find_spec(name) is None]
    if missing:
        print(f"... without stable-baselines3: no module {' and no '.join(missing)}", file=sys.stderr)
        return {}
    return {THEIRS.format(n_envs): Theirs(n_envs) for n_envs in (64, 16)}


THEIRS = "stable-baselines3's A2C, {} environments"


def _speeds(times: dict[str, list[Spent]]) -> Iterator[Row]:
    for name, each in times.items():
        speed = 1e3 / median(spent.wall for spent in each)
        measured = (
            f"{speed:.0f} steps/s, median of {len(each)} rounds: {1e6 / speed / 3600:.2f} hours for a million steps"
        )
        yield Row(f"{name} on Qbert{'' if 'environments' in name else ', 64 environments'}", measured)


def _ratios(times: dict[str, list[Spent]]) -> Iterator[Row]:
    """Medians over the rounds of two times in one round; the CPU's beside the clock's."""

    def ratio(of: str, beside: str) -> tuple[float, str]:
        pairs = list(zip(times[of], times[beside], strict=True))
        wall, cpu = (median(one[i] / other[i] for one, other in pairs) for i in (0, 1))
        return wall, f"{wall:.2f} times (CPU: {cpu:.2f})"

    for n_envs, ours, goal in ((64, "A2C", 2.5), (16, "A2C", 1.3), (16, "A2C, 16 environments", 1.3)):
        if (theirs := THEIRS.format(n_envs)) in times:
            slower, measured = ratio(theirs, ours)
            what = f"{theirs}: time per environment step beside ours with {16 if '16' in ours else 64}"
            yield Row(what, measured, f"at least {goal}", slower >= goal)
    for name in ("MGRL + LVC", "MGRL + LVC, discard"):
        slower, measured = ratio(name, "A2C")
        yield Row(f"{name}: time per environment step beside A2C", measured, "at most 2.5", slower <= 2.5)
    yield Row("MGRL, fully corrected: time beside A2C", ratio("MGRL, fully corrected", "A2C")[1])
    slower, measured = ratio("MGRL + LVC", "MGRL")
    yield Row("LVC: time beside plain autodiff", measured, "at most 1.1", slower <= 1.1)


def _memory() -> Row:
    """Resident memory while MGRL + LVC learns Qbert at the reduced setting with 8 environments."""
    run = Ours(make("Qbert", 8, seed=0, size=SCALES["reduced"][1]), "mgrl-lvc")
    levels, end = [], time.monotonic() + LIMIT
    with tqdm(total=UPDATES, desc="memory") as bar:
        while run.state.updates < UPDATES and time.monotonic() < end:
            run.update()
            bar.update(run.state.updates - bar.n)
            levels.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    tenth = max(1, len(levels) // 10)
    grown = median(levels[-tenth:]) - median(levels[tenth : 2 * tenth])
    what = f"memory of MGRL + LVC, reduced, 8 environments: last of {run.state.updates:,} updates beside the first"
    return Row(what, f"{grown:+.1f} MB", f"within 5 MB over {UPDATES:,}", grown < 5 and run.state.updates >= UPDATES)
