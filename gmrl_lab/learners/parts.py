"""Where the parts of two learners' meta-gradients come from: true values, fresh plays of the game, or stored ones."""

from dataclasses import fields, replace

import torch
from torch import Tensor

from gmrl_lab.games import MatrixGame
from gmrl_lab.learners.baselines import FittedValues
from gmrl_lab.learners.replay import Plays, Replay, play
from gmrl_lab.learners.settings import BASELINES, ESTIMATORS, LOLASettings
from gmrl_lab.meta import EXACT, ROLES
from gmrl_lab.oracles import Oracle, Sampled
from gmrl_lab.problem import Problem, ValueTable
from gmrl_lab.reuse import effective_sample_size
from gmrl_lab.rollout import Trajectories, log_prob, sample
from gmrl_lab.seeding import Generators, spawn_roles


class Parts:
    """The oracles of each update, with what they learn from one to the next: value tables and stored plays.

    Args:
        settings: those of the run.
        game: as the first player sees it.
        theta: initial logits, `(n_seeds, 2, 5)`.
        generators: one for each seed. Each part draws from a stream of its own.
    """

    def __init__(self, settings: LOLASettings, game: MatrixGame, theta: Tensor, generators: Generators) -> None:
        self.settings, self.game = settings, game
        self.sources = {role: getattr(settings, role) for role in settings.roles}
        self.streams = spawn_roles(generators, (*ROLES, "first"))
        self._sizes = theta.new_full((*theta.shape[:2], len(ROLES)), torch.nan)
        rule = BASELINES[settings.baseline]
        self._values = FittedValues(theta, settings.baseline, rule, settings.value_lr) if rule else None
        self._replay = Replay(settings.buffer_size)
        if "off" in self.sources.values():
            self._keep("first", theta, settings.buffer_size)

    @property
    def are_sampled(self) -> bool:
        """Whether anything is."""
        return set(self.sources.values()) != {"exact"}

    def sizes(self) -> Tensor:
        """Effective sample sizes of the last update, `(n_seeds, 2, 3)`; NaN for a part that is not sampled."""
        return self._sizes.clone()

    def look_ahead(self, theta: Tensor, problem: Problem) -> tuple[Oracle, Oracle]:
        """For the value and the derivative of the look-ahead from `theta`; `problem` is the one the opponent has."""
        if "inner" not in self.sources:
            return EXACT, EXACT
        inner = self._oracle("inner", theta, problem)
        return inner, inner if self.settings.share_samples else self._oracle("hessian", theta, problem)

    def outer(self, theta: Tensor, problem: Problem) -> Tensor:
        """The outer surrogate in `problem`; fresh plays there also move the value tables, for the next update."""
        oracle, on_policy = self._oracle("outer", theta, problem), self.sources["outer"] == "on"
        if self._values is None and not on_policy:
            return oracle.surrogate(problem)
        own = self.settings
        fresh = sample(problem.mdp, problem.logits, own.n_outer, own.horizon, generator=self._rollout("outer"))
        if self._values is not None:
            self._values.update(fresh, problem.mdp.rewards, problem.mdp.discount)
        if isinstance(oracle, Sampled) and on_policy:
            return oracle.estimator.surrogate(oracle.steps(problem, fresh))
        return oracle.surrogate(problem)

    def _oracle(self, role: str, theta: Tensor, problem: Problem) -> Oracle:
        if self.sources[role] == "exact":
            return EXACT
        own, n, column = self.settings, getattr(self.settings, f"n_{role}"), self._sizes[..., ROLES.index(role)]
        oracle = Sampled(ESTIMATORS[own.estimator], n, own.horizon, baseline=self._baseline(role), clip=own.clip)
        column.fill_(n)
        if self.sources[role] == "on":
            return oracle
        stored = self._stored(role, theta, n)
        ratio = log_prob(problem.logits.detach(), stored.states, stored.actions) - stored.behaviour_log_prob
        column.copy_(effective_sample_size(ratio.sum(-1)))
        return replace(oracle, trajectories=stored)

    def _baseline(self, role: str) -> ValueTable | None:
        """The table of the player whose objective it is: the opponent's in the look-ahead."""
        if self._values is None:
            return None
        return ValueTable(table=self._values.table.clone() if role == "outer" else self._values.table.flip(-2))

    def _stored(self, role: str, theta: Tensor, n: int) -> Trajectories:
        """n plays out of the buffer, to which some of now are added, as the player of this role sees them."""
        self._keep(role, theta, self.settings.n_fresh)
        replay = self._replay
        kept = replay.plays() if n == replay.size else replay.draw(n, self._rollout(role))
        seen = kept.trajectories
        if role == "outer":
            return seen
        return Trajectories(seen.states.flip(1), seen.actions.flip(1), seen.behaviour_log_prob.flip(1))

    def _keep(self, role: str, theta: Tensor, n: int) -> None:
        """Play n games with the policies of now, and keep them as both players see them, `(n_seeds, 2, n, T)`."""
        one, two = theta.unbind(1)
        first = play(self.game, one, two, n, self.settings.horizon, generator=self._rollout(role))
        second = first.seen_by_the_other()
        both = (torch.stack([getattr(view, f.name) for view in (first, second)], 1) for f in fields(Plays))
        self._replay.add(Plays(*both))

    def _rollout(self, role: str) -> Generators:
        streams = self.streams[role]
        assert streams is not None
        return streams.rollout
