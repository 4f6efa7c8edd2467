"""The dynamic programme under every expected surrogate: expectations over trajectories without sampling any."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._tensors import stack
from gmrl_lab._validate import (
    bad,
    check_broadcast,
    check_finite,
    check_interval,
    check_like,
    check_trailing,
    check_whole,
)
from gmrl_lab.mdp import ROW_SUM_TOLERANCE, TabularMDP


@dataclass(frozen=True, eq=False)
class Flow:
    """Visits and advantages under a fixed behaviour policy μ, for T steps of a tabular MDP."""

    mdp: TabularMDP
    theta: Tensor
    behaviour: Tensor
    baseline: Tensor
    horizon: int
    gae_lambda: Tensor
    fixed_weights: bool = False
    """Whether the weights γᵗ are held fixed where γ carries meta-parameters."""

    @classmethod
    def of(
        cls,
        mdp: TabularMDP,
        theta: Tensor,
        behaviour: Tensor | None,
        baseline: Tensor | None,
        horizon: int,
        gae_lambda: float | Tensor,
        fixed_weights: bool = False,
    ) -> "Flow":
        """Validated inputs, each with the whole batch; no behaviour means π_θ, detached, and no baseline zero."""
        batch = exact.check_theta(mdp, theta)
        check_whole("horizon", horizon, 1)
        check_interval("gae_lambda", gae_lambda, 0.0, 1.0)
        behaviour = theta.detach().softmax(-1) if behaviour is None else behaviour
        baseline = torch.zeros_like(mdp.rewards[..., 0]) if baseline is None else baseline
        gae_lambda = torch.as_tensor(gae_lambda, dtype=mdp.dtype, device=mdp.device)
        for name, tensor, shape in (
            ("behaviour", behaviour, (mdp.n_states, mdp.n_actions)),
            ("baseline", baseline, (mdp.n_states,)),
            ("gae_lambda", gae_lambda, ()),
        ):
            check_trailing(name, tensor, shape)
            check_like(name, tensor, "the MDP", mdp.transitions)
            batch = check_broadcast(name, tensor.shape[: tensor.ndim - len(shape)], "the MDP and theta", batch)
            check_finite(name, tensor)
        check_interval("behaviour", behaviour, 0.0, 1.0)
        sums = behaviour.detach().sum(-1)
        if bool(((sums - 1).abs() > ROW_SUM_TOLERANCE[mdp.dtype]).any()):
            worst = sums.flatten()[int((sums - 1).abs().argmax())].item()
            raise bad("behaviour", f"a row sum of {worst:.12g}", f"1 within {ROW_SUM_TOLERANCE[mdp.dtype]:g}")
        # A time dimension in front may only meet tensors whose batch is complete: it would pass for one of theirs.
        theta, behaviour = theta.expand(*batch, -1, -1), behaviour.expand(*batch, -1, -1)
        return cls(mdp, theta, behaviour, baseline.expand(*batch, -1), horizon, gae_lambda, fixed_weights)

    @property
    def weight_discount(self) -> Tensor:
        """γ of the weights γᵗ, `(...)`."""
        return self.mdp.discount.detach() if self.fixed_weights else self.mdp.discount

    @property
    def start(self) -> Tensor:
        """The start distribution, `(..., S)`."""
        return self.mdp.start_distribution.expand_as(self.baseline)

    def covered_policy(self) -> Tensor:
        """π_θ, once it is known that μ can take each action that π_θ can."""
        policy = self.theta.softmax(-1)
        missing = (self.behaviour == 0) & (policy.detach() > 0)
        if bool(missing.any()):
            where = tuple(missing.nonzero()[0].tolist())
            raise bad("behaviour", f"0 at {where}, where the target policy is not 0", "a policy that covers the target")
        return policy

    def push(self, policy: Tensor) -> Tensor:
        """The matrix that moves a state distribution one step under `policy`, which need not be normalised."""
        return exact.transition_matrix(self.mdp, policy)

    def visits(self, policy: Tensor) -> list[Tensor]:
        """γᵗ d_t(s), t = 0 … T − 1."""
        matrix = self.push(policy)
        steps = [self.start]
        for _ in range(self.horizon - 1):
            steps.append(self.weight_discount.unsqueeze(-1) * step(steps[-1], matrix))
        return steps

    def advantages(self) -> Tensor:
        """E[Â_t | s, a] under μ, `(T, ..., S, A)`: Â_t = R + γ P V̂ − V̂ + γλ P G_{t+1}, G_t = Σ_a μ Â_t, G_T = 0."""
        discount = self.mdp.discount[..., None, None]
        carry = discount * self.gae_lambda[..., None, None]
        ahead = torch.einsum("...sat,...t->...sa", self.mdp.transitions, self.baseline)
        error = self.mdp.rewards + discount * ahead - self.baseline.unsqueeze(-1)
        steps = [error]
        for _ in range(self.horizon - 1):
            gain = (self.behaviour * steps[-1]).sum(-1)
            ahead = torch.einsum("...sat,...t->...sa", self.mdp.transitions, gain)
            steps.append(error + carry * ahead)
        return stack(steps[::-1])

    def visited_advantage(self) -> Tensor:
        """Σ_t γᵗ d_t(s) Â_t(s, a), `(..., S, A)`."""
        return (stack(self.visits(self.behaviour)).unsqueeze(-1) * self.advantages()).sum(0)


def step(state: Tensor, matrix: Tensor) -> Tensor:
    """One step of a state distribution `(..., S)` through a matrix `(..., S, S)`."""
    return (state.unsqueeze(-2) @ matrix).squeeze(-2)
