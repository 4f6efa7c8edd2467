"""Value tables that are fitted while two players learn: the baseline of LOLA-DiCE."""

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_choice, check_finite, check_interval, check_trailing
from gmrl_lab.learners.adam import Adam
from gmrl_lab.problem import ValueTable
from gmrl_lab.rollout import Trajectories, lookup

TARGETS, RULES = ("return", "reward"), ("average", "adam")


class FittedValues:
    """A table V̂ for each batch element, moved by each update towards what was gained after each state.

        "return":  y_t = Σ_{l≥t} γ^{l−t} r_l up to the horizon, weight w_t = γᵗ, as V̂ enters the estimators
        "reward":  y_t = r_t, the immediate one, weight w_t = 1: the loss of the published code

        "average":  V̂(s) ← V̂(s) + lr (ȳ(s) − V̂(s)),   ȳ(s) = Σ 1{s_t = s} w_t y_t / Σ 1{s_t = s} w_t
        "adam":     a step of Adam, of size lr, on Σ w_t (y_t − V̂(s_t))² / Σ w_t

    Published are "reward" and "adam" with lr = 0.1 (Table 3's value lr), from zero. A reward is no return: such a
    table takes 8% off the variance of DiCE's gradient, one that is fitted to returns over 98%. And steps of 0.1 need
    hundreds of updates to get to returns of −40, whence the average for these.

    Args:
        like: a tensor `(..., S)`; V̂ starts at zero, in its shape, dtype and device.
        target: "return" or "reward".
        rule: "average" or "adam".
        lr: in (0, 1] for the average.

    Raises:
        ValueError: for an unknown target or rule, or lr out of range.

    Taught in lesson 12.
    """

    def __init__(self, like: Tensor, target: str = "return", rule: str = "average", lr: float = 0.1) -> None:
        check_choice("target", target, TARGETS)
        check_choice("rule", rule, RULES)
        check_interval("lr", lr, 0.0, 1.0 if rule == "average" else float("inf"), open_low=True)
        self.target, self.rule, self.lr = target, rule, lr
        self.table = torch.zeros_like(like.detach())
        self._adam = Adam(self.table, lr)

    @property
    def baseline(self) -> ValueTable:
        """The table of now, for `gl.Sampled(..., baseline=...)`; later updates leave it as it is."""
        return ValueTable(table=self.table.clone())

    def update(self, trajectories: Trajectories, rewards: Tensor, discount: Tensor | float) -> Tensor:
        """One step, in place, with fresh trajectories.

        Args:
            trajectories: `(..., n, T)`, on-policy.
            rewards: of each state and action, `(..., S, A)`.
            discount: γ, a float or `(...)`.

        Returns:
            The mean squared error before the step, `(...)`, with weights w_t.

        Raises:
            ValueError: if shapes do not belong together, or a reward is not finite.
        """
        check_trailing("rewards", rewards, (self.table.shape[-1], rewards.shape[-1]))
        check_finite("rewards", rewards)
        if trajectories.states.shape[:-2] != self.table.shape[:-1]:
            batch = tuple(trajectories.states.shape[:-2])
            raise bad("trajectories", f"batch {batch}", f"batch {tuple(self.table.shape[:-1])}, as the table")
        reward = lookup(rewards.detach(), trajectories.states, trajectories.actions)
        gained, shares = self._targets(reward, discount)
        here = trajectories.states[..., :-1].flatten(-2)
        mass, total = (
            torch.zeros_like(self.table).scatter_add_(-1, here, x.flatten(-2))
            for x in (shares.expand_as(gained), gained)
        )
        inverse = torch.where(
            shares > torch.finfo(shares.dtype).tiny, 1 / shares, 0.0
        )  # γᵗ may be too small to divide by
        error = (gained * (inverse * gained)).sum((-1, -2)) + (mass * self.table**2 - 2 * total * self.table).sum(-1)
        if self.rule == "adam":
            self.table += self._adam.step(2 * (mass * self.table - total))
        else:
            self.table += self.lr * torch.where(mass > 0, total / mass - self.table, 0.0)
        return error

    def _targets(self, reward: Tensor, discount: Tensor | float) -> tuple[Tensor, Tensor]:
        """w_t y_t and w_t, `(..., n, T)` and `(..., 1, T)`, for weights w that sum to 1 over all steps."""
        n, horizon = reward.shape[-2:]
        if self.target == "reward":
            return reward / (n * horizon), torch.full_like(reward[..., :1, :], 1 / (n * horizon))
        gamma = torch.as_tensor(discount, dtype=reward.dtype, device=reward.device)[..., None, None]
        weight = gamma ** torch.arange(horizon, dtype=reward.dtype, device=reward.device)
        weight = weight / (n * weight.sum(-1, keepdim=True))
        return (weight * reward).flip(-1).cumsum(-1).flip(-1), weight  # γᵗ Σ_{l≥t} γ^{l−t} r_l, the last first
