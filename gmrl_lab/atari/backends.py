"""What stands behind `environments.make`: Atari emulators that step together, or a loop over Gymnasium environments."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gmrl_lab._validate import lab_extra
from gmrl_lab.atari.environments import FRAME_SKIP
from gmrl_lab.atari.vector import Backend, Outcome

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]

BLOCK = 32
"""Games in a row of an emulator that share a seed: a new seed loads the ROM anew, which takes as long as 250 steps."""


class Emulators(Backend):
    """Atari games in `ale_py.AtariVectorEnv`, with its own restarts replaced.

    In its autoreset mode the step after a game is over ignores its action and pays nothing: a step that no policy
    has taken. Here the next game starts at once, by a partial reset, and no such step exists. Games differ in their
    idle frames at the start, at most 30, whose number is the next that a generator draws; it is seeded every 32 games.

    Args:
        rom: the emulator's name of the game, as "beam_rider".
        n_envs: N.
        seed: of the idle frames.
        size: of the picture.
        max_steps: after which a game is cut off.
        n_threads: that step the emulators; 0 leaves it to them.

    Raises:
        ModuleNotFoundError: without ale_py, the extra [atari].

    Taught in lesson 14.
    """

    def __init__(self, rom: str, n_envs: int, seed: int, size: int, max_steps: int, n_threads: int) -> None:
        try:
            from ale_py import AtariVectorEnv
        except ModuleNotFoundError as error:
            words = f"Atari games need {error.name}: pip install 'gmrl_lab[atari]'"
            raise ModuleNotFoundError(words, name=error.name) from error
        env: Any = AtariVectorEnv(
            rom,
            n_envs,
            num_threads=n_threads,
            img_height=size,
            img_width=size,
            frameskip=FRAME_SKIP,
            max_num_frames_per_episode=FRAME_SKIP * max_steps,
            life_loss_info=True,
            reward_clipping=False,
        )
        self._env = env
        self.observation_shape = tuple(env.single_observation_space.shape)
        self.n_actions = int(env.single_action_space.n)
        self._seed, self._max_steps = seed, max_steps
        self._age = np.zeros(n_envs, np.int64)
        self._game = np.full(n_envs, -1)
        self._env.reset()  # a partial reset needs a full one before it

    def start(self, which: Mask, games: Whole) -> Tensor:
        """The next game by an ordinary reset; any other by those of its block before it."""
        first = games - games % BLOCK
        anew = which & ((games == first) | (games != self._game + 1))
        if anew.any():
            seeds = [_seed(self._seed, i, int(first[i])) for i in anew.nonzero()[0].tolist()]
            observations, _ = self._env.reset(seed=np.array(seeds), options={"reset_mask": anew})
            self._game[anew] = first[anew]
        while (behind := which & (self._game < games)).any():
            observations, _ = self._env.reset(options={"reset_mask": behind})
            self._game[behind] += 1
        self._age[which] = 0
        return torch.from_numpy(observations)

    def step(self, actions: Whole) -> Outcome:
        """Each action for four frames; the picture is the maximum of the last two."""
        observations, rewards, lost, cut, info = self._env.step(actions)
        self._age += 1
        over = cut | (lost & (info["lives"] == 0)) | (self._age >= self._max_steps)  # or a life lost at the limit
        return Outcome(torch.from_numpy(observations), rewards.astype(np.float64), lost | cut, over, cut)


class Loop(Backend):
    """Environments of Gymnasium, one after the other; a discrete observation becomes a one-hot vector.

    Args:
        name: Gymnasium's, as "CartPole-v1".
        n_envs: N.
        seed: of all games.

    Raises:
        ModuleNotFoundError: without Gymnasium, the extra [lab].

    Taught in lesson 13.
    """

    def __init__(self, name: str, n_envs: int, seed: int) -> None:
        with lab_extra():
            import gymnasium

        import gmrl_lab.envs  # registers RandomMDP  # noqa: F401

        made = [gymnasium.make(name, disable_env_checker=True) for _ in range(n_envs)]
        self._envs: list[Any] = [gymnasium.wrappers.FlattenObservation(env) for env in made]
        self.observation_shape = tuple(self._envs[0].observation_space.shape)
        self.n_actions = int(self._envs[0].action_space.n)
        self._seed = seed
        self._seen = np.zeros((n_envs, *self.observation_shape), np.float32)

    def start(self, which: Mask, games: Whole) -> Tensor:
        """A start drawn with the game's own seed, which also makes the game that follows reproducible."""
        for i in which.nonzero()[0].tolist():
            self._seen[i] = self._envs[i].reset(seed=_seed(self._seed, i, int(games[i])))[0]
        return torch.from_numpy(self._seen.copy())

    def step(self, actions: Whole) -> Outcome:
        """One step of each."""
        results = [env.step(action) for env, action in zip(self._envs, actions, strict=True)]
        seen, rewards, ended, cut = (list(part) for part in list(zip(*results, strict=True))[:4])
        self._seen = np.stack(seen).astype(np.float32)
        terminated, truncated = np.array(ended, np.bool_), np.array(cut, np.bool_)
        truncated &= ~terminated
        over = terminated | truncated
        return Outcome(torch.from_numpy(self._seen.copy()), np.array(rewards, np.float64), over, over, truncated)


def _seed(seed: int, environment: int, game: int) -> int:
    """31 bits, as emulators take them, independent for any two triples."""
    return int(np.random.SeedSequence((seed, environment, game)).generate_state(1)[0] >> 1)
