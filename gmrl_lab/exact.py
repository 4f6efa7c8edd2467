"""Exact values, gradients and Hessians of a tabular softmax policy: closed form, batched, differentiable.

Every function takes a policy as logits `theta` (..., S, A), π(·|s) = softmax(θ_s), whose leading dimensions
broadcast against the MDP's. With `horizon=None` the horizon is infinite; with `horizon=T` a return is the sum of
T discounted rewards plus γᵀ · terminal(s_T), where `terminal` (..., S) is zero by default.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import stack
from gmrl_lab._validate import check_broadcast, check_finite, check_like, check_trailing, check_whole
from gmrl_lab.mdp import TabularMDP


def value(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """State values of the policy.

        V = (I − γ P_π)⁻¹ r_π,   or over T steps   V_t = r_π + γ P_π V_{t+1},  V_T = terminal

    Args:
        mdp: batch of MDPs, `(...)`.
        theta: policy logits, `(..., S, A)`.
        horizon, terminal: see the module.

    Returns:
        `(..., S)`, differentiable in `theta`, rewards, discount and `terminal`.

    Raises:
        ValueError: if `theta` or `terminal` has another shape, dtype or device than `mdp`, or is not finite.

    Taught in lesson 01.
    """
    chain = _Chain.of(mdp, theta)
    return chain.value() if horizon is None else chain.values(horizon, terminal)[0]


def action_value(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Action values of the policy, Q = R + γ P V, where V is one step shorter if the horizon is finite.

    Arguments and errors as for `value`.

    Returns:
        `(..., S, A)`, differentiable.

    Taught in lesson 01.
    """
    chain = _Chain.of(mdp, theta)
    return chain.action_value(chain.value() if horizon is None else chain.values(horizon, terminal)[1])


def occupancy(mdp: TabularMDP, theta: Tensor, horizon: int | None = None) -> Tensor:
    """Discounted state occupancy from the start state.

        d = (I − γ P_πᵀ)⁻¹ e_{s₀},   or over T steps   d = Σ_{t<T} γᵗ P(s_t = · | s₀)

    Returns:
        `(..., S)`, differentiable; sums to 1/(1 − γ), or to (1 − γᵀ)/(1 − γ).

    Taught in lesson 01.
    """
    chain = _Chain.of(mdp, theta)
    return chain.occupancy() if horizon is None else chain.visits(horizon).sum(0)


def objective(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Expected return from the start state, J = V(s₀).

    Arguments and errors as for `value`.

    Returns:
        `(...)`, differentiable.

    Taught in lesson 01.
    """
    return (mdp.start_distribution * value(mdp, theta, horizon, terminal)).sum(-1)


def gradient(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Exact policy gradient of the start-state value (the policy gradient theorem, Sutton et al. 2000).

        ∂J/∂θ[s, a] = d(s) · π(a|s) · (Q(s, a) − V(s)),   over T steps   Σ_t γᵗ d_t(s) · π(a|s) · (Q_t − V_t)(s, a)

    Arguments and errors as for `value`; `terminal` is held fixed, it is not differentiated.

    Returns:
        `(..., S, A)`, differentiable. Each row sums to zero.

    Taught in lesson 01.
    """
    return _Chain.of(mdp, theta).weighted_advantage(horizon, terminal).sum(0)


def hessian(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Exact Hessian of the start-state value in the logits, in closed form.

        H = H₁ + H₁₂ + H₁₂ᵀ,   H₁ = Σ_t γᵗ E[A_t g_t g_tᵀ],   H₁₂ = Σ_t γᵗ E[A_t g_t (Σ_{i<t} g_i)ᵀ],   g = ∇ log π

    The fourth part, H₂ = Σ_t γᵗ E[A_t ∇² log π_t], is zero: ∇² log π does not depend on the action, and the
    advantage has mean zero (theory of the Hessian bias, the paper's Section 4.2 and Appendix C).

    Arguments and errors as for `gradient`.

    Returns:
        `(..., S·A, S·A)`, index s·A + a; symmetric, each row sums to zero over the actions of every state.

    Taught in lessons 01 and 05.
    """
    chain = _Chain.of(mdp, theta)
    same_time = _same_time_hessian(chain.policy, chain.weighted_advantage(horizon, terminal).sum(0))
    across = chain.across_time_hessian(horizon, terminal)
    return same_time + across + across.transpose(-1, -2)


def transition_matrix(mdp: TabularMDP, policy: Tensor) -> Tensor:
    """State-to-state transition probabilities P_π(s'|s) = Σ_a π(a|s) P(s'|s, a), `(..., S, S)`.

    Taught in lesson 01.
    """
    return torch.einsum("...sa,...sat->...st", policy, mdp.transitions)


def check_theta(mdp: TabularMDP, theta: Tensor, name: str = "theta") -> torch.Size:
    """The leading dimensions of both, once `theta` are finite logits (..., S, A) of the MDP's dtype and device."""
    check_trailing(name, theta, (mdp.n_states, mdp.n_actions))
    check_like(name, theta, "the MDP", mdp.transitions)
    check_finite(name, theta)
    return check_broadcast(name, theta.shape[:-2], "the MDP", mdp.batch_shape)


@dataclass(frozen=True, eq=False)
class _Chain:
    """The Markov chain that a policy makes of an MDP, and the quantities that flow along it."""

    mdp: TabularMDP
    policy: Tensor
    matrix: Tensor
    reward: Tensor

    @classmethod
    def of(cls, mdp: TabularMDP, theta: Tensor) -> "_Chain":
        batch = check_theta(mdp, theta)
        policy = theta.softmax(-1).expand(*batch, -1, -1)  # then all that follows has the whole batch
        return cls(mdp, policy, transition_matrix(mdp, policy), (policy * mdp.rewards).sum(-1))

    @property
    def discount(self) -> Tensor:
        return self.mdp.discount.unsqueeze(-1)

    @property
    def start(self) -> Tensor:
        return self.mdp.start_distribution.expand_as(self.reward)

    def resolvent(self) -> Tensor:
        """I − γ P_π, `(..., S, S)`."""
        eye = torch.eye(self.mdp.n_states, dtype=self.matrix.dtype, device=self.matrix.device)
        return eye - self.discount.unsqueeze(-1) * self.matrix

    def value(self) -> Tensor:
        return _solve(self.resolvent(), self.reward)

    def occupancy(self) -> Tensor:
        return _solve(self.resolvent().transpose(-1, -2), self.start)

    def values(self, horizon: int, terminal: Tensor | None) -> Tensor:
        """V_0 … V_T, `(T + 1, ..., S)`."""
        check_whole("horizon", horizon, 1)
        last = torch.zeros_like(self.reward) if terminal is None else terminal
        check_trailing("terminal", last, (self.mdp.n_states,))
        check_like("terminal", last, "the MDP", self.mdp.transitions)
        check_finite("terminal", last)
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

    def advantage(self, horizon: int | None, terminal: Tensor | None) -> Tensor:
        """Q_t − V_t for each t, `(T, ..., S, A)`; with an infinite horizon the one that holds at all times."""
        values = self.value().expand(2, *self.reward.shape) if horizon is None else self.values(horizon, terminal)
        return self.action_value(values[1:]) - values[:-1].unsqueeze(-1)

    def weighted_advantage(self, horizon: int | None, terminal: Tensor | None) -> Tensor:
        """γᵗ d_t(s) π(a|s) A_t(s, a), `(T, ..., S, A)`, one term where the horizon is infinite."""
        visits = self.occupancy().unsqueeze(0) if horizon is None else self.visits(horizon)
        return visits.unsqueeze(-1) * self.policy * self.advantage(horizon, terminal)

    def across_time_hessian(self, horizon: int | None, terminal: Tensor | None) -> Tensor:
        """H₁₂: how an action at s' moves the later visits of s, times the advantage there, `(..., S·A, S·A)`.

        Row (s, a) is the later step, column (s', b) the earlier one:
            H₁₂ = Σ_i γⁱ d_i(s') · π(b|s') · (M_i(s', b) − Σ_c π(c|s') M_i(s', c)),
        where M_i(s', b; s, a) is the discounted sum of π(a|s) A_t(s, a) over the visits of s after action b at s'.
        """
        source = self.policy * self.advantage(horizon, terminal)
        if horizon is None:
            ahead = torch.linalg.inv(self.resolvent()).unsqueeze(-1) * source[0].unsqueeze(-3)
            return self._response(self.occupancy(), ahead)
        eye = torch.eye(self.mdp.n_states, dtype=source.dtype, device=source.device).unsqueeze(-1)
        ahead = torch.zeros_like(eye * source[0].unsqueeze(-3))
        total = torch.zeros((), dtype=source.dtype, device=source.device)
        for visits, now in zip(reversed(self.visits(horizon)), reversed(source), strict=True):
            total = total + self._response(visits, ahead)
            ahead = eye * now.unsqueeze(-3) + self.discount[..., None, None] * torch.einsum(
                "...st,...tua->...sua", self.matrix, ahead
            )
        return total

    def _response(self, visits: Tensor, ahead: Tensor) -> Tensor:
        after = self.discount[..., None, None, None] * torch.einsum(
            "...sbt,...tua->...sbua", self.mdp.transitions, ahead
        )
        policy = self.policy[..., None, None]
        centred = policy * (after - (policy * after).sum(-3, keepdim=True))
        flat = (visits[..., None, None, None] * centred).flatten(-4, -3).flatten(-2, -1)
        return flat.transpose(-1, -2)


def _same_time_hessian(policy: Tensor, weighted: Tensor) -> Tensor:
    """H₁ = blocks Σ_a w(s, a) (e_a − π)(e_a − π)ᵀ with w = d π A, whose sum over a is zero."""
    outer = weighted.unsqueeze(-1) * policy.unsqueeze(-2)
    blocks = torch.diag_embed(weighted) - outer - outer.transpose(-1, -2)
    n_states, n_actions = policy.shape[-2:]
    full = torch.zeros(
        *blocks.shape[:-3], n_states, n_actions, n_states, n_actions, dtype=blocks.dtype, device=blocks.device
    )
    index = torch.arange(n_states, device=blocks.device)
    # Two index tensors with a slice between them: advanced indexing moves the state to the front.
    full[..., index, :, index, :] = blocks.movedim(-3, 0)
    return full.flatten(-4, -3).flatten(-2, -1)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    solution: Tensor = torch.linalg.solve(matrix, right.unsqueeze(-1))
    return solution.squeeze(-1)


__all__ = ["action_value", "gradient", "hessian", "objective", "occupancy", "transition_matrix", "value"]
