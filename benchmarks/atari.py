"""A2C beside stable-baselines3's, MGRL beside A2C, LVC beside plain autodiff, a million steps, and memory over time."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

from tqdm.auto import tqdm

from benchmarks.measure import Row
from gmrl_lab.atari.environments import make
from gmrl_lab.atari.learner import Learner
from gmrl_lab.atari.settings import Table4
from gmrl_lab.atari.training import SCALES
from gmrl_lab.atari.vector import VectorEnvironment

ROUNDS = 12
UPDATES, LIMIT = 2000, 120.0
"""Of the memory's run: real updates, or so many seconds if that comes first."""
NETWORKS = {(4, size, size): network for network, size in SCALES.values()}
STEPS = 320
"""Environment steps of A2C in a round: one update of 64 environments."""


class Spent(NamedTuple):
    """Wall and CPU time in ms for each environment step."""

    wall: float
    cpu: float


class Contestant(Protocol):
    """Something that learns Qbert."""

    def learn(self) -> int:
        """A short while; returns how many environment steps it was."""
        ...


class Ours:
    """A variant in an environment, which it may share: to start one takes as long as thirty rounds."""

    def __init__(self, environment: VectorEnvironment, variant: str, strategy: str = "online") -> None:
        self.environment = environment
        settings = Table4(variant, strategy, NETWORKS[environment.observation_shape], n_envs=environment.n_envs)
        self.learner = Learner(settings, environment.observation_shape, environment.n_actions)
        self.state = self.learner.init(0)

    def learn(self) -> int:
        """At least 320 steps; with MGRL a meta-update may have more."""
        before = self.state.env_steps
        while self.state.env_steps < before + STEPS:
            self.update()
        return self.state.env_steps - before

    def update(self) -> None:
        """One update; with MGRL a meta-update with its inner ones."""
        self.state, _ = self.learner.update(self.state, lambda policy: self.environment.rollout(policy, 5))


class Theirs:
    """stable-baselines3's A2C: its Atari wrappers, its network (the same convolutions), its defaults."""

    def __init__(self, n_envs: int) -> None:
        import ale_py
        import gymnasium
        from stable_baselines3 import A2C
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        gymnasium.register_envs(ale_py)
        frames = VecFrameStack(make_atari_env("QbertNoFrameskip-v4", n_envs=n_envs, seed=0), 4)
        self.model: Any = A2C("CnnPolicy", frames, seed=0, device="cpu")

    def learn(self) -> int:
        """320 steps in updates of 5 steps in all environments."""
        self.model.learn(STEPS, reset_num_timesteps=False)
        return STEPS


def rows() -> list[Row]:
    """All of them in turn, round after round, so that what else the machine does meets each alike."""
    full, reduced = (make("Qbert", 64, seed=0, size=size) for _, size in SCALES.values())
    runs: dict[str, Contestant] = {
        "A2C": Ours(full, "a2c"),
        "A2C, 16 environments": Ours(make("Qbert", 16, seed=0), "a2c"),
        **_theirs(),
        "MGRL": Ours(full, "mgrl"),
        "MGRL + LVC": Ours(full, "mgrl-lvc"),
        "MGRL + LVC, discard": Ours(full, "mgrl-lvc", "discard"),
        "MGRL, fully corrected": Ours(full, "mgrl-full"),
        "A2C, reduced": Ours(reduced, "a2c"),
        "MGRL + LVC, reduced": Ours(reduced, "mgrl-lvc"),
    }
    times: dict[str, list[Spent]] = {name: [] for name in runs}
    with tqdm(total=(ROUNDS + 1) * len(runs), desc="rounds") as bar:
        for turn in range(ROUNDS + 1):
            for name, run in runs.items():
                spent = _timed(run)
                bar.update()
                if turn:  # the first also warms up
                    times[name].append(spent)
    return [*_speeds(times), *_ratios(times), _memory()]


def _theirs() -> dict[str, Contestant]:
    try:
        return {THEIRS.format(n_envs): Theirs(n_envs) for n_envs in (64, 16)}
    except ModuleNotFoundError as error:
        print(f"... without stable-baselines3: {error.name} is not installed")
        return {}


THEIRS = "stable-baselines3's A2C, {} environments"


def _timed(run: Contestant) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    steps = run.learn()
    return Spent(1e3 * (time.perf_counter() - wall) / steps, 1e3 * (time.process_time() - cpu) / steps)


def _speeds(times: dict[str, list[Spent]]) -> Iterator[Row]:
    for name, each in times.items():
        speed = 1e3 / median(spent.wall for spent in each)
        measured = f"{speed:.0f} steps/s: {1e6 / speed / 3600:.2f} hours for a million steps"
        yield Row(f"{name} on Qbert{'' if 'environments' in name else ', 64 environments'}", measured)


def _ratios(times: dict[str, list[Spent]]) -> Iterator[Row]:
    """Medians over the rounds of two times in one round; the CPU's beside the clock's."""

    def ratio(of: str, beside: str) -> tuple[float, str]:
        pairs = list(zip(times[of], times[beside], strict=True))
        wall, cpu = (median(one[i] / other[i] for one, other in pairs) for i in (0, 1))
        return wall, f"{wall:.2f} times (CPU: {cpu:.2f})"

    for n_envs, goal in ((64, 2.5), (16, 1.3)):
        if (theirs := THEIRS.format(n_envs)) in times:
            slower, measured = ratio(theirs, "A2C")
            yield Row(f"{theirs}: time per environment step beside ours with 64", measured, f"{goal}", slower >= goal)
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
    return Row(what, f"{grown:+.1f} MB", f"within 5 MB over {UPDATES:,}", grown < 5)
