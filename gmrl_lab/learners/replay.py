"""Plays of a repeated game that are kept, each with how likely both players then found their own moves.

Off-policy DiCE divides by these probabilities, so that trajectories of earlier policies give right derivatives of the
present one: its mean is, the spread of its weights says how much each is still worth.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gmrl_lab._tensors import stack
from gmrl_lab._validate import bad, check_finite, check_whole
from gmrl_lab.exact import check_theta, transition_matrix
from gmrl_lab.flow import step
from gmrl_lab.games import AS_THE_OTHER_SEES, MatrixGame
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.reuse import effective_sample_size
from gmrl_lab.rollout import Trajectories, log_prob, sample
from gmrl_lab.seeding import Generators, check_generator, normal


@dataclass(frozen=True, eq=False)
class Plays:
    """Trajectories of a repeated game as one player sees them, own action first, with both behaviour policies.

    Args:
        states: s_0 … s_T, integers `(..., n, T + 1)`.
        actions: the joint ones, integers `(..., n, T)`.
        own_log_prob, other_log_prob: log μ of what each player did, `(..., n, T)`, without gradient. Their sum is that
            of the joint action.

    Rewards are not stored: the game says them.

    Raises:
        ValueError: as `Trajectories`, for either player.

    Taught in lesson 12.
    """

    states: Tensor
    actions: Tensor
    own_log_prob: Tensor
    other_log_prob: Tensor

    def __post_init__(self) -> None:
        if self.own_log_prob.shape != self.other_log_prob.shape:
            shapes = tuple(self.other_log_prob.shape), tuple(self.own_log_prob.shape)
            raise bad("other_log_prob", f"shape {shapes[0]}", f"shape {shapes[1]}, as own_log_prob")
        check_finite("own_log_prob", self.own_log_prob)
        check_finite("other_log_prob", self.other_log_prob)
        _ = self.trajectories

    @property
    def trajectories(self) -> Trajectories:
        """What `gl.Sampled(..., trajectories=...)` takes, with the joint log-probability."""
        return Trajectories(self.states, self.actions, self.own_log_prob + self.other_log_prob)

    def seen_by_the_other(self) -> "Plays":
        """The same plays with the players' places changed."""
        there = torch.tensor(AS_THE_OTHER_SEES, device=self.states.device)
        return Plays(there[self.states], there[self.actions + 1] - 1, self.other_log_prob, self.own_log_prob)


def play(
    game: MatrixGame, own: Tensor, other: Tensor, n_trajectories: int, horizon: int, *, generator: Generators
) -> Plays:
    """Play n games of T rounds, on-policy.

    Args:
        game: as its first player sees it.
        own, other: logits of COOPERATE, `(..., 5)`, each player's own action first; no gradient flows.
        n_trajectories, horizon: n and T.
        generator: one, or one for each element of the leading dimension.

    Raises:
        ValueError: as `gl.sample`.

    Taught in lesson 12.
    """
    problem = game.problems(own.detach(), other.detach())[0]
    seen = sample(problem.mdp, problem.logits, n_trajectories, horizon, generator=generator)
    turned = torch.tensor(AS_THE_OTHER_SEES, device=seen.states.device)[seen.states]
    own_log_prob = log_prob(_two(own), seen.states, seen.actions // 2)
    return Plays(seen.states, seen.actions, own_log_prob, log_prob(_two(other), turned, seen.actions % 2))


class Replay:
    """The last plays of each batch element, in a ring: once it is full, new ones take the place of the oldest.

    Args:
        size: how many plays it holds, for each batch element; 1024 in the paper's Table 3.

    Raises:
        ValueError: for a size below 1.

    Taught in lesson 12.
    """

    def __init__(self, size: int = 1024) -> None:
        check_whole("size", size, 1)
        self.size = size
        self._rows: Plays | None = None
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self.size)

    def add(self, plays: Plays) -> None:
        """Keep copies of these.

        Raises:
            ValueError: for more plays than the buffer holds, or ones of another batch or length than those within.
        """
        batch, n, horizon = _split(plays)
        if n > self.size:
            raise bad("plays", f"n = {n}", f"at most {self.size}, the size of the buffer")
        if self._rows is None:
            self._rows = Plays(*(x.new_zeros((*batch, self.size, x.shape[-1])) for x in _tensors(plays)))
        kept = _split(self._rows)
        if (batch, horizon) != (kept[0], kept[2]):
            raise bad("plays", f"batch {batch}, horizon {horizon}", f"batch {kept[0]}, horizon {kept[2]}, as before")
        slots = (self._added + torch.arange(n, device=plays.states.device)) % self.size
        for row, new in zip(_tensors(self._rows), _tensors(plays), strict=True):
            row.index_copy_(-2, slots, new.detach())
        self._added += n

    def plays(self) -> Plays:
        """All of them, the oldest first, as copies.

        Raises:
            ValueError: if there are none.
        """
        rows = self._filled(1)
        order = (self._added - len(self) + torch.arange(len(self), device=rows.states.device)) % self.size
        return Plays(*(row.index_select(-2, order) for row in _tensors(rows)))

    def draw(self, n: int, generator: Generators) -> Plays:
        """n different ones, each as likely as any other.

        Args:
            n: for each batch element.
            generator: one, or one for each element of the leading dimension, so that a seed alone draws the same.

        Raises:
            ValueError: for n below 1 or more than there are, or a generator that does not fit.
        """
        check_whole("n", n, 1)
        rows = self._filled(n)
        batch = rows.states.shape[:-2]
        check_generator(generator, rows.states.device, batch[0] if batch else None)
        chosen = normal((*batch, len(self)), generator, rows.own_log_prob).argsort(-1)[..., :n]
        return Plays(*(x.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, x.shape[-1])) for x in _tensors(rows)))

    def _filled(self, least: int) -> Plays:
        if self._rows is None or len(self) < least:
            raise bad("n", least, f"at most {len(self)}, the plays in the buffer")
        return self._rows


def effective_sizes(logits: Tensor, trajectories: Trajectories) -> Tensor:
    """How many fresh trajectories the weights ρ_{0:t} of each step are worth, `(..., T)`: the last is of them whole.

        (Σ_i ρ_{0:t})² / Σ_i ρ_{0:t}²                                        (Kong 1992)

    Args:
        logits: of the joint policy of now, `(..., S, A)`; no gradient flows.
        trajectories: n stored ones, `(..., n, T)`.

    Returns:
        Between 1 and n; n for trajectories of this very policy.

    Taught in lesson 12.
    """
    current = log_prob(logits.detach(), trajectories.states, trajectories.actions)
    return effective_sample_size((current - trajectories.behaviour_log_prob).cumsum(-1).transpose(-1, -2))


def expected_shares(mdp: TabularMDP, now: Tensor, then: Tensor, horizon: int) -> Tensor:
    """What becomes of `effective_sizes` / n for n → ∞, a finite recursion, `(..., T)`.

        1 / E_μ[ρ_{0:t}²],   E_μ[ρ_{0:t}²] = Σ_{s,a} m_t(s) π²/μ(a|s)
        m_0 the start distribution,   m_{t+1}(s') = Σ_{s,a} m_t(s) π²/μ(a|s) P(s'|s, a)

    The share falls geometrically with the rounds: for two coin-throwers whose logits were all δ away it is
    cosh(δ/2)^(−4 (t + 1)). Where it is small, n samples show a larger one: at least 1/n.

    Args:
        mdp: the game as one player sees it.
        now, then: joint logits of the present policy π and of the one μ that acted, `(..., S, A)`; no gradient flows.
        horizon: T.

    Raises:
        ValueError: for bad logits or a horizon below 1.

    Taught in lesson 12.
    """
    check_whole("horizon", horizon, 1)
    for name, logits in (("now", now), ("then", then)):
        check_theta(mdp, logits, name)
    squares = (2 * now.detach().log_softmax(-1) - then.detach().log_softmax(-1)).exp()
    push, here = transition_matrix(mdp, squares), mdp.start_distribution
    totals = []
    for _ in range(horizon):
        totals.append((here * squares.sum(-1)).sum(-1))
        here = step(here, push)
    return 1 / stack(totals, -1)


def _two(theta: Tensor) -> Tensor:
    """Logits of COOPERATE `(..., 5)` as those of both actions, `(..., 5, 2)`."""
    return torch.stack([theta, -theta], -1).detach() / 2


def _tensors(plays: Plays) -> list[Tensor]:
    return [getattr(plays, field.name) for field in fields(plays)]


def _split(plays: Plays) -> tuple[tuple[int, ...], int, int]:
    """Batch, n and T."""
    return tuple(plays.actions.shape[:-2]), int(plays.actions.shape[-2]), int(plays.actions.shape[-1])
