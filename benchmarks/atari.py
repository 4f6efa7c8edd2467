"""What MGRL costs beside A2C for each environment step, LVC beside plain autodiff, and whether memory stays flat."""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import Row
from gmrl_lab.atari.environments import make
from gmrl_lab.atari.learner import Learner
from gmrl_lab.atari.settings import Table4

UPDATES = 2000
ROUNDS = 5


class Run:
    """One variant on Qbert with the network of Table 4 and 64 environments."""

    def __init__(self, variant: str, strategy: str = "online", game: str = "Qbert", network: str = "full") -> None:
        self.environment = make(game, 64, seed=0, n_threads=1)
        shape, actions = self.environment.observation_shape, self.environment.n_actions
        self.learner = Learner(Table4(variant=variant, strategy=strategy, network=network), shape, actions)
        self.state = self.learner.init(0)

    def update(self) -> tuple[float, float]:
        """Wall and CPU time in ms for each environment step of one update."""
        before, wall, cpu = self.state.env_steps, time.perf_counter(), time.process_time()
        self.state, _ = self.learner.update(self.state, lambda policy: self.environment.rollout(policy, 5))
        wall, cpu, steps = time.perf_counter() - wall, time.process_time() - cpu, self.state.env_steps - before
        return 1e3 * wall / steps, 1e3 * cpu / steps


def rows() -> list[Row]:
    """All of them in turn, round after round, so that what else the machine does meets each alike."""
    names = {
        "A2C": ("a2c", "online"),
        "MGRL": ("mgrl", "online"),
        "MGRL + LVC": ("mgrl-lvc", "online"),
        "MGRL + LVC, discard": ("mgrl-lvc", "discard"),
        "MGRL, fully corrected": ("mgrl-full", "online"),
    }
    runs = {name: Run(*which) for name, which in names.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):
        for name, run in runs.items():
            spent = run.update()
            if turn:  # the first also warms up
                times[name].append(spent)
    wall, cpu = ({name: statistics.median(pair[i] for pair in each) for name, each in times.items()} for i in (0, 1))
    speed = [Row(f"{name}, Qbert, 64 environments", f"{1e3 / wall[name]:.0f} steps/s") for name in runs]
    return [*speed, *_ratios(cpu), _memory()]


def _ratios(cpu: dict[str, float]) -> Iterator[Row]:
    for name in ("MGRL + LVC", "MGRL + LVC, discard", "MGRL, fully corrected"):
        ratio = cpu[name] / cpu["A2C"]
        goal = "" if "fully" in name else "at most 2.5"
        met = None if "fully" in name else ratio <= 2.5
        yield Row(f"{name}: CPU time per environment step beside A2C", f"{ratio:.2f} times", goal, met)
    ratio = cpu["MGRL + LVC"] / cpu["MGRL"]
    yield Row("LVC beside plain autodiff", f"{ratio:.3f} times", "at most 1.1", ratio <= 1.1)


def _memory() -> Row:
    """Resident memory over 2,000 real updates of MGRL + LVC on a small environment, from its first tenth on."""
    run = Run("mgrl-lvc", game="RandomMDP", network="mlp")
    levels = []
    while run.state.updates < UPDATES:
        run.update()
        if run.state.updates > UPDATES // 10:
            levels.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    grown = levels[-1] - levels[0]
    return Row(f"memory after {UPDATES:,} updates beside {UPDATES // 10}", f"{grown:+.1f} MB", "within 5 MB", grown < 5)
