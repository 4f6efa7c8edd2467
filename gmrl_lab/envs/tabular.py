"""One tabular MDP, seen through Gymnasium's interface."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from gmrl_lab._validate import bad
from gmrl_lab.categorical import cumulative
from gmrl_lab.mdp import TabularMDP, random_mdp


class TabularEnv(gymnasium.Env[np.int64, np.int64]):
    """A Gymnasium environment with the law of a tabular MDP; observations are states.

    Rewards are the expected R(s, a), undiscounted: γ belongs to the learner. An episode terminates in a state that
    never leaves itself and always pays zero, which changes no value; elsewhere it goes on until a time limit.

    Args:
        mdp: one MDP, no batch.

    Raises:
        ValueError: for a batch of MDPs, or an action outside the action space.

    Taught in lesson 01.
    """

    def __init__(self, mdp: TabularMDP) -> None:
        if mdp.batch_shape:
            raise bad("mdp", f"a batch {tuple(mdp.batch_shape)}", "a single MDP, without batch dimensions")
        self.mdp = mdp
        self.observation_space = gymnasium.spaces.Discrete(mdp.n_states)
        self.action_space = gymnasium.spaces.Discrete(mdp.n_actions)
        self.initial_state_distrib = mdp.start_distribution.detach().cpu().numpy()
        self._transitions = mdp.transitions.detach().cpu().numpy()
        self._rewards = mdp.rewards.detach().cpu().numpy()
        self._start_cdf = cumulative(mdp.start_distribution).cpu().numpy()
        self._transition_cdf = cumulative(mdp.transitions).cpu().numpy()
        stays = np.diagonal(self._transitions, axis1=0, axis2=2).T == 1
        self._is_end = (stays & (self._rewards == 0)).all(-1)
        self._state: np.int64 | None = None

    @property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """The model as toy-text environments give it: P[s][a] = [(probability, next state, reward, terminated), …]."""

        def outcomes(s: int, a: int) -> list[tuple[float, int, float, bool]]:
            row, reward = self._transitions[s, a], float(self._rewards[s, a])
            return [(float(row[q]), int(q), reward, bool(self._is_end[q])) for q in row.nonzero()[0]]

        return {s: {a: outcomes(s, a) for a in range(self.mdp.n_actions)} for s in range(self.mdp.n_states)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Draw a start state; a seed makes the episodes that follow reproducible."""
        super().reset(seed=seed)
        self._state = self._draw(self._start_cdf)
        return self._state, {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """The next state, R(s, a), whether the episode terminated, no truncation, and no information."""
        if self._state is None:
            raise ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise bad("action", repr(action), f"a whole number from 0 to {self.mdp.n_actions - 1}")
        reward = float(self._rewards[self._state, action])
        self._state = self._draw(self._transition_cdf[self._state, action])
        return self._state, reward, bool(self._is_end[self._state]), False, {}

    def _draw(self, cdf: np.ndarray) -> np.int64:
        return np.int64(np.searchsorted(cdf, self.np_random.random(), side="right"))


def random_mdp_env(mdp_seed: int = 0, **kwargs: Any) -> TabularEnv:
    """A random MDP to act in: `mdp_seed` picks the model, other arguments are those of `random_mdp`.

    Taught in lesson 01.
    """
    return TabularEnv(random_mdp(seed=mdp_seed, **kwargs))
