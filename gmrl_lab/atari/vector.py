"""Many environments at once, without dead steps: backends that step together, and what the learner sees of them.

A lost life ends the return while the game goes on. When a game is over the next one starts within the same step; how
it starts depends on (seed, environment, number of the game) alone. A game is then a function of these and of its
actions, and the state of an environment is the actions since its game began. To restore it is to play them again.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gmrl_lab._validate import bad, check_whole, lab_extra
from gmrl_lab.atari.batch import Batch


class Game(NamedTuple):
    """A finished game: which environment played it, its true return, over all lives and not clipped, and its steps."""

    environment: int
    total_reward: float
    length: int


class Step(NamedTuple):
    """What a step gives; the first dimension is that of the environments, N, unless said otherwise.

    `ended`: the return ends here, because a life or the game is lost or cut off; `truncated`: it was cut off, and
    `final_observations` `(m, *observation_shape)` hold what the m truncated ones saw last.
    """

    observations: Tensor
    rewards: Tensor
    ended: Tensor
    truncated: Tensor
    final_observations: Tensor


class Outcome(NamedTuple):
    """What a backend says of a step: `over` is the end of the game, `truncated` the case that it was cut off."""

    observations: Tensor
    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]
    over: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Backend(ABC):
    """N environments that start numbered games and step together."""

    observation_shape: tuple[int, ...]
    n_actions: int

    @abstractmethod
    def start(self, which: NDArray[np.bool_], games: NDArray[np.int64]) -> Tensor:
        """Start the game of the given number `(N,)` in each environment of the mask `(N,)`; observations of all."""

    @abstractmethod
    def step(self, actions: NDArray[np.int64]) -> Outcome:
        """One step of all."""


class VectorEnvironment:
    """N environments of one kind, on the CPU, deterministic for a seed; environment i is the same whatever N is.

    `state_dict` holds the actions since each current game began, `load_state_dict` plays them again: everything that
    follows is then the same, at the cost of as many steps as the longest current game has.

    Taught in lesson 13.
    """

    def __init__(self, backend: Backend, n_envs: int, seed: int) -> None:
        self.n_envs, self.seed = n_envs, seed
        self._backend = backend
        self.reset()

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one environment; pictures are `(4, size, size)` in uint8."""
        return self._backend.observation_shape

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return self._backend.n_actions

    @property
    def observations(self) -> Tensor:
        """What the environments see now, `(N, *observation_shape)`."""
        return self._observations

    def reset(self) -> Tensor:
        """Start again from the first game of each; observations `(N, *observation_shape)`."""
        self._game = np.zeros(self.n_envs, np.int64)
        self._return = np.zeros(self.n_envs)
        self._began = np.zeros(self.n_envs, np.int64)
        self._actions: deque[NDArray[np.uint8]] = deque()
        self._now = 0
        self._finished: list[Game] = []
        self._start(np.ones(self.n_envs, np.bool_))
        return self._observations

    def step(self, actions: Tensor) -> Step:
        """Act in all environments.

        Args:
            actions: whole numbers from 0 to `n_actions` − 1, `(N,)`.

        Raises:
            ValueError: for other actions.
        """
        played = self._checked(actions)
        out = self._backend.step(played)
        self._actions.append(played.astype(np.uint8))
        self._now += 1
        self._return += out.rewards
        self._observations, truncated = out.observations, torch.from_numpy(out.truncated)
        final = out.observations[truncated]
        if out.over.any():
            for i in out.over.nonzero()[0].tolist():
                self._finished.append(Game(i, float(self._return[i]), int(self._now - self._began[i])))
            self._game[out.over] += 1
            self._start(out.over)
        return Step(self._observations, torch.from_numpy(out.rewards), torch.from_numpy(out.ended), truncated, final)

    def rollout(self, policy: Callable[[Tensor], Tensor], n_steps: int) -> Batch:
        """T steps of `policy(observations) -> actions` in all N environments, from where they are.

        Raises:
            ValueError: for fewer than one step, or actions that are none.
        """
        check_whole("n_steps", n_steps, 1)
        seen, acted, steps = [self._observations], [], []
        for _ in range(n_steps):
            acted.append(policy(seen[-1]).cpu())
            steps.append(self.step(acted[-1]))
            seen.append(steps[-1].observations)
        return Batch(
            observations=torch.stack(seen),
            actions=torch.stack(acted),
            rewards=torch.stack([step.rewards for step in steps]),
            ended=torch.stack([step.ended for step in steps]),
            truncated=torch.stack([step.truncated for step in steps]),
            final_observations=torch.cat([step.final_observations for step in steps]),
        )

    def pop_finished(self) -> list[Game]:
        """The games that have ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly as now: tensors, numbers and lists."""
        history = np.array(self._actions, np.uint8).reshape(-1, self.n_envs)
        return {
            "seed": self.seed,
            "games": self._game.tolist(),
            "lengths": (self._now - self._began).tolist(),
            "actions": torch.from_numpy(history),
            "finished": [list(game) for game in self._finished],
            "observations_crc32": crc32(self._observations.numpy().tobytes()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Tensor:
        """Restore a state by playing its actions again, in environments made with the same arguments.

        Each game starts as many steps before the last as it is long, so that all arrive together.

        Raises:
            ValueError: if the state is of another seed or number of environments, or if the games now look different:
                another version of the emulator, or another size of the picture.
        """
        own = {"seed": self.seed, "environments": self.n_envs}
        found = {"seed": state["seed"], "environments": len(state["games"])}
        if own != found:
            raise bad("state", found, f"a state of {own}")
        games, lengths = np.array(state["games"]), np.array(state["lengths"])
        self.reset()
        for remaining, actions in zip(range(len(state["actions"]), 0, -1), _replayed(state["actions"]), strict=True):
            self._restart(games, lengths == remaining)
            self.step(actions.long())
        self._restart(games, lengths == 0)
        self._finished = [Game(*game) for game in state["finished"]]
        if crc32(self._observations.numpy().tobytes()) != state["observations_crc32"]:
            raise bad("state", "actions that lead elsewhere now", "a state of the same environments and versions")
        return self._observations

    def _restart(self, games: NDArray[np.int64], which: NDArray[np.bool_]) -> None:
        if which.any():
            self._game[which] = games[which]
            self._start(which)

    def _start(self, which: NDArray[np.bool_]) -> None:
        """Start the current game of some environments, and forget actions that no current game has seen."""
        self._return[which] = 0.0
        self._began[which] = self._now
        for _ in range(len(self._actions) - int(self._now - self._began.min())):
            self._actions.popleft()
        self._observations = self._backend.start(which, self._game)

    def _checked(self, actions: Tensor) -> NDArray[np.int64]:
        if tuple(actions.shape) != (self.n_envs,) or actions.is_floating_point():
            raise bad("actions", f"{actions.dtype} of shape {tuple(actions.shape)}", f"integers ({self.n_envs},)")
        if bool((actions < 0).any()) or bool((actions >= self.n_actions).any()):
            raise bad("actions", actions.tolist(), f"whole numbers from 0 to {self.n_actions - 1}")
        return actions.cpu().numpy().astype(np.int64)


def _replayed(actions: Tensor) -> Iterable[Tensor]:
    """One row after the other, with a bar if it takes longer than two seconds."""
    with lab_extra():
        from tqdm.auto import tqdm
    bar: Iterable[Tensor] = tqdm(actions, desc="replay", delay=2, leave=False)
    return bar
