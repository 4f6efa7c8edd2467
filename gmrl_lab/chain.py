"""The Markov chain that a policy makes of an MDP, and the quantities that flow along it: what `exact` is made of."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import stack
from gmrl_lab._validate import check_whole
from gmrl_lab.mdp import TabularMDP


@dataclass(frozen=True, eq=False)
class Chain:
    """The Markov chain that a policy makes of an MDP, and the quantities that flow along it."""

    mdp: TabularMDP
    policy: Tensor
    matrix: Tensor
    reward: Tensor

    @property
    def discount(self) -> Tensor:
        """γ, with a dimension for the states."""
        return self.mdp.discount.unsqueeze(-1)

    @property
    def start(self) -> Tensor:
        """The start distribution, `(..., S)`."""
        return self.mdp.start_distribution.expand_as(self.reward)

    def resolvent(self, lambda_: float = 1.0) -> Tensor:
        """I − λ γ P_π, `(..., S, S)`."""
        eye = torch.eye(self.mdp.n_states, dtype=self.matrix.dtype, device=self.matrix.device)
        return eye - lambda_ * self.discount.unsqueeze(-1) * self.matrix

    def value(self) -> Tensor:
        """V over an infinite horizon, `(..., S)`."""
        return _solve(self.resolvent(), self.reward)

    def occupancy(self) -> Tensor:
        """Discounted visits over an infinite horizon, `(..., S)`."""
        return _solve(self.resolvent().transpose(-1, -2), self.start)

    def values(self, horizon: int, terminal: Tensor | None) -> Tensor:
        """V_0 … V_T, `(T + 1, ..., S)`."""
        check_whole("horizon", horizon, 1)
        last = torch.zeros_like(self.reward) if terminal is None else terminal
        steps = [last]
        for _ in range(horizon):
            steps.append(self.reward + self.discount * (self.matrix @ steps[-1].unsqueeze(-1)).squeeze(-1))
        return stack(steps[::-1])

    def visits(self, horizon: int) -> Tensor:
        """γᵗ P(s_t = ·), t = 0 … T − 1, `(T, ..., S)`."""
        check_whole("horizon", horizon, 1)
        steps = [self.start]
        for _ in range(horizon - 1):
            steps.append(self.discount * (steps[-1].unsqueeze(-2) @ self.matrix).squeeze(-2))
        return stack(steps)

    def action_value(self, next_value: Tensor) -> Tensor:
        """Q = R + γ P V', `(..., S, A)`."""
        expected = torch.einsum("...sat,...t->...sa", self.mdp.transitions, next_value)
        return self.mdp.rewards + self.discount.unsqueeze(-1) * expected

    def advantage(self, horizon: int | None, terminal: Tensor | None, baseline: Tensor | None = None) -> Tensor:
        """Q_t − V_t for each t, or Q_t − baseline, `(T, ..., S, A)`; one for all times with no horizon."""
        values = self.value().expand(2, *self.reward.shape) if horizon is None else self.values(horizon, terminal)
        return self.action_value(values[1:]) - (values[:-1] if baseline is None else baseline).unsqueeze(-1)

    def weighted_advantage(
        self, horizon: int | None, terminal: Tensor | None, baseline: Tensor | None = None
    ) -> Tensor:
        """γᵗ d_t(s) π(a|s) A_t(s, a), `(T, ..., S, A)`, one term where the horizon is infinite."""
        visits = self.occupancy().unsqueeze(0) if horizon is None else self.visits(horizon)
        return visits.unsqueeze(-1) * self.policy * self.advantage(horizon, terminal, baseline)

    def same_time_hessians(
        self, horizon: int | None, terminal: Tensor | None, baseline: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """H₁ and H₂, `(..., S·A, S·A)`, from w(s, a) = Σ_t γᵗ d_t π A_t:

        H₁ has the blocks Σ_a w(s, a) (e_a − π)(e_a − π)ᵀ, H₂ the blocks −Σ_a w(s, a) (diag π − π πᵀ).
        """
        weight = self.weighted_advantage(horizon, terminal, baseline).sum(0)
        policy, mean = self.policy, weight.sum(-1)[..., None, None]
        both = policy.unsqueeze(-1) * policy.unsqueeze(-2)
        mixed = weight.unsqueeze(-1) * policy.unsqueeze(-2)
        score = torch.diag_embed(weight) - mixed - mixed.transpose(-1, -2) + mean * both
        return _block_diagonal(score), _block_diagonal(mean * (both - torch.diag_embed(policy)))

    def across_time_hessian(self, horizon: int | None, terminal: Tensor | None, lambda_: float = 1.0) -> Tensor:
        """H₁₂: how an action at s' moves the later visits of s, times the advantage there, `(..., S·A, S·A)`.

        Row (s, a) is the later step, column (s', b) the earlier one:
            H₁₂ = Σ_i γⁱ d_i(s') · π(b|s') · (M_i(s', b) − Σ_c π(c|s') M_i(s', c)),
        where M_i(s', b; s, a) is the discounted sum of π(a|s) A_t(s, a) over the visits of s after action b at s',
        each visit k steps later with the weight λᵏ.
        """
        source = self.policy * self.advantage(horizon, terminal)
        if horizon is None:
            ahead = torch.linalg.inv(self.resolvent(lambda_)).unsqueeze(-1) * source[0].unsqueeze(-3)
            return lambda_ * self._response(self.occupancy(), ahead)
        eye = torch.eye(self.mdp.n_states, dtype=source.dtype, device=source.device).unsqueeze(-1)
        ahead = torch.zeros_like(eye * source[0].unsqueeze(-3))
        total = torch.zeros((), dtype=source.dtype, device=source.device)
        for visits, now in zip(reversed(self.visits(horizon)), reversed(source), strict=True):
            total = total + self._response(visits, ahead)
            ahead = eye * now.unsqueeze(-3) + lambda_ * self.discount[..., None, None] * torch.einsum(
                "...st,...tua->...sua", self.matrix, ahead
            )
        return lambda_ * total

    def _response(self, visits: Tensor, ahead: Tensor) -> Tensor:
        after = self.discount[..., None, None, None] * torch.einsum(
            "...sbt,...tua->...sbua", self.mdp.transitions, ahead
        )
        policy = self.policy[..., None, None]
        centred = policy * (after - (policy * after).sum(-3, keepdim=True))
        flat = (visits[..., None, None, None] * centred).flatten(-4, -3).flatten(-2, -1)
        return flat.transpose(-1, -2)


def _block_diagonal(blocks: Tensor) -> Tensor:
    """`(..., S, A, A)` as `(..., S·A, S·A)`, zero where the states differ."""
    n_states, n_actions = blocks.shape[-3:-1]
    shape = (*blocks.shape[:-3], n_states, n_actions, n_states, n_actions)
    full = torch.zeros(shape, dtype=blocks.dtype, device=blocks.device)
    index = torch.arange(n_states, device=blocks.device)
    # Two index tensors with a slice between them: advanced indexing moves the state to the front.
    full[..., index, :, index, :] = blocks.movedim(-3, 0)
    return full.flatten(-4, -3).flatten(-2, -1)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    solution: Tensor = torch.linalg.solve(matrix, right.unsqueeze(-1))
    return solution.squeeze(-1)
