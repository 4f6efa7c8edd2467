"""Estimators as surrogates: scalars whose automatic derivatives estimate ∇J and ∇²J.

An estimator is any object with `surrogate(steps)`. Its gradient and Hessian by automatic differentiation are the
estimate of the policy gradient and of its Hessian. `expected_surrogate` is its expectation over trajectories of a
fixed behaviour policy, a finite dynamic programme: the bias of either derivative without any sampling.

Written with ρ_t = π_θ(a_t|s_t)/μ(a_t|s_t), which evaluates to 1 on-policy but still has ∇ log π as its gradient.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._tensors import stack
from gmrl_lab._validate import check_choice, check_interval
from gmrl_lab.flow import Flow, step
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.steps import Steps


@runtime_checkable
class Estimator(Protocol):
    """Anything with a surrogate. With `expected_surrogate` too, it also serves the `Expected` oracle.

    Taught in lesson 02.
    """

    def surrogate(self, steps: Steps) -> Tensor:
        """Mean over n of the sum over T, `(...)`, differentiable in θ and in meta-parameters."""
        ...


@runtime_checkable
class ExpectedEstimator(Estimator, Protocol):
    """An estimator whose expectation is known in closed form."""

    def expected_surrogate(
        self,
        mdp: TabularMDP,
        theta: Tensor,
        behaviour: Tensor | None = None,
        baseline: Tensor | None = None,
        horizon: int = 20,
        gae_lambda: float | Tensor = 1.0,
        fixed_weights: bool = False,
    ) -> Tensor:
        """E_τ[surrogate] over trajectories of `behaviour`, `(...)`, differentiable; see the estimators below."""
        ...


class _ClosedForm:
    """The estimators below: the expectation over trajectories is a sum over times, states and actions."""

    def expected_surrogate(
        self,
        mdp: TabularMDP,
        theta: Tensor,
        behaviour: Tensor | None = None,
        baseline: Tensor | None = None,
        horizon: int = 20,
        gae_lambda: float | Tensor = 1.0,
        fixed_weights: bool = False,
    ) -> Tensor:
        """E_τ[surrogate] over T-step trajectories of a fixed behaviour policy, without sampling.

        Args:
            mdp: batch of MDPs.
            theta: policy logits `(..., S, A)`.
            behaviour: μ, probabilities `(..., S, A)`; None for π_θ, detached.
            baseline: V̂, `(..., S)`, also the bootstrap; None for zero.
            horizon: T.
            gae_lambda: λ of the advantage estimate, a float or `(...)`.
            fixed_weights: hold the weights γᵗ fixed where γ carries meta-parameters (see `Problem`).

        Returns:
            `(...)`, differentiable in `theta`, rewards, discount and `baseline`.

        Raises:
            ValueError: for bad shapes or numbers, or a behaviour of zero where the target policy is not (ratios only).

        Taught in lesson 05.
        """
        return self._expected(Flow.of(mdp, theta, behaviour, baseline, horizon, gae_lambda, fixed_weights))

    def _expected(self, flow: Flow) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class AD(_ClosedForm):
    """What automatic differentiation of the policy-gradient loss gives ("MAML" in the paper's code).

        Σ_t γᵗ Â_t log π_θ(a_t|s_t)

    Gradient unbiased on-policy. Hessian biased: it keeps only H₂ = E Σ γᵗ A ∇² log π, which is zero for a tabular
    softmax with an exact baseline. It ignores behaviour ratios, so off-policy data bias even its gradient.

    Taught in lessons 01 and 05.
    """

    def surrogate(self, steps: Steps) -> Tensor:
        return _mean_sum(steps.weights * steps.advantage * steps.log_prob)

    def _expected(self, flow: Flow) -> Tensor:
        """Σ_t γᵗ Σ_s d_t(s) Σ_a μ(a|s) Â_t(s, a) log π_θ(a|s)."""
        return _total(flow.visited_advantage() * flow.behaviour * flow.theta.log_softmax(-1))


@dataclass(frozen=True)
class LVC(_ClosedForm):
    """The low-variance curvature estimator (Rothfuss et al. 2019).

        Σ_t γᵗ Â_t ρ_t

    Gradient unbiased on-policy. Hessian of low variance, but biased: it keeps H₁ + H₂ and drops H₁₂ + H₁₂ᵀ, how an
    action moves the gradients of later steps.

    Taught in lessons 02 and 05.
    """

    def surrogate(self, steps: Steps) -> Tensor:
        return _mean_sum(steps.weights * steps.advantage * steps.ratio)

    def _expected(self, flow: Flow) -> Tensor:
        """Σ_t γᵗ Σ_s d_t(s) Σ_a π_θ(a|s) Â_t(s, a)."""
        return _total(flow.visited_advantage() * flow.covered_policy())


@dataclass(frozen=True)
class DiCE(_ClosedForm):
    """The infinitely differentiable Monte-Carlo estimator (Foerster et al. 2018).

        Σ_t γᵗ ρ_{0:t} r_t,   ρ_{0:t} = Π_{l≤t} ρ_l

    All derivatives of the T-step return are unbiased, off-policy too; the variance is high. A baseline by name adds

        "first order":  Σ_t γᵗ (1 − ρ_t) V̂(s_t)                    (Foerster et al. 2018, and LOLA-DiCE)
        "any order":    Σ_t γᵗ (ρ_{0:t−1} − ρ_{0:t}) V̂(s_t)         (Mao et al. 2019)

    whose mean is zero for every θ, given the past. The first lowers the variance of the gradient on-policy alone: of
    a derivative with factors from two different times, LOLA's mixed one above all, it reaches nothing. The second
    reaches all orders: without bootstrap, it is Loaded DiCE at λ = 1.

    Args:
        baseline: "none" (V̂ is ignored), "first order" or "any order". Never a bootstrap, and no `gae_lambda`.

    Raises:
        ValueError: for another baseline.

    Taught in lessons 02, 05 and 12.
    """

    baseline: str = "none"
    bootstraps = False

    def __post_init__(self) -> None:
        check_choice("baseline", self.baseline, ("none", "first order", "any order"))

    @property
    def uses_baseline(self) -> bool:
        """Whether `value` matters."""
        return self.baseline != "none"

    def surrogate(self, steps: Steps) -> Tensor:
        trace = steps.trace(steps.log_ratio)
        so_far = trace.exp()
        gain = so_far * (steps.weights * steps.reward)  # what bears no derivative is multiplied first
        if self.baseline == "first order":
            gain = gain + (steps.ratio - 1) * (-steps.weights * steps.value)
        elif self.baseline == "any order":
            gain = gain + ((trace - steps.log_ratio).exp() - so_far) * (steps.weights * steps.value)
        return _mean_sum(gain)

    def _expected(self, flow: Flow) -> Tensor:
        """The T-step return of π_θ without bootstrap."""
        flow.covered_policy()
        mdp = flow.mdp.replace(discount=flow.weight_discount) if flow.fixed_weights else flow.mdp
        return exact.objective(mdp, flow.theta, flow.horizon)


@dataclass(frozen=True)
class LoadedDiCE(_ClosedForm):
    """Loaded DiCE (Farquhar et al. 2019): DiCE with a baseline and a bootstrap, and one dial down to LVC.

        Σ_t γᵗ Â_t [□(w_t) − □(λ w_{t−1})],   w_t = λ w_{t−1} + log ρ_t,   □ = exp

    At λ = 1 it is Σ_t γᵗ (ρ_{0:t} − ρ_{0:t−1}) Â_t, the doubly robust form (Jiang & Li 2016; Tang et al. 2021): all
    derivatives unbiased for the T-step return with bootstrap, off-policy too. At λ = 0 it is LVC.

    Args:
        lambda_: λ in [0, 1], of the trace of past actions; not the λ of the advantage.

    Raises:
        ValueError: for λ outside [0, 1].

    Taught in lessons 02 and 05.
    """

    lambda_: float = 1.0

    def __post_init__(self) -> None:
        check_interval("lambda_", self.lambda_, 0.0, 1.0)

    def surrogate(self, steps: Steps) -> Tensor:
        trace = steps.trace(steps.log_ratio, self.lambda_)
        return _mean_sum(steps.weights * steps.advantage * (trace.exp() - (trace - steps.log_ratio).exp()))

    def _expected(self, flow: Flow) -> Tensor:
        """Σ_t γᵗ Σ_s ν⁽ᵗ⁾(s) Σ_a (π − μ)(a|s) Â_t(s, a).

        ν⁽ᵗ⁾ is the start distribution pushed from i = 0 to t − 1 through Σ_a μ (π/μ)^{λ^{t−i}} P.
        """
        policy = flow.covered_policy()
        weights = stack(self._loaded_visits(flow, policy))
        return _total((weights.unsqueeze(-1) * (policy - flow.behaviour) * flow.advantages()).sum(0))

    def _loaded_visits(self, flow: Flow, policy: Tensor) -> list[Tensor]:
        if self.lambda_ in (0.0, 1.0):  # the push does not depend on t: one recursion instead of T
            return flow.visits(policy if self.lambda_ else flow.behaviour)
        acts = flow.behaviour > 0  # where μ = 0 = π the ratio is 0/0, and of no weight
        log_ratio = flow.theta.log_softmax(-1) - torch.where(acts, flow.behaviour, 1.0).log()
        log_ratio = torch.where(acts, log_ratio, 0.0)
        pushes = [flow.push(flow.behaviour * (self.lambda_**age * log_ratio).exp()) for age in range(1, flow.horizon)]
        visits = []
        for t in range(flow.horizon):
            state = flow.start
            for i in range(t):
                state = step(state, pushes[t - i - 1])
            visits.append(flow.weight_discount.unsqueeze(-1) ** t * state)
        return visits


@dataclass(frozen=True)
class TayPO2(_ClosedForm):
    """Second-order Taylor expansion policy optimisation (Tang et al. 2020, 2021).

        Σ_t γᵗ Â_t (ρ_t − 1)(1 + Σ_{i<t} (ρ_i − 1))

    Gradient and Hessian unbiased on-policy, where both equal those of Loaded DiCE (λ = 1) sample by sample. Third
    derivatives, and off-policy use, are truncated.

    Taught in lesson 05.
    """

    def surrogate(self, steps: Steps) -> Tensor:
        change = steps.ratio - 1
        before = steps.trace(change) - change
        return _mean_sum(steps.weights * steps.advantage * change * (1 + before))

    def _expected(self, flow: Flow) -> Tensor:
        """Σ_t γᵗ Σ_s [d_t + m_t](s) Σ_a (π − μ)(a|s) Â_t(s, a).

        The change of the visits to first order is m_{t+1} = m_t P_μ + d_t P_{π−μ}, m_0 = 0.
        """
        change = flow.covered_policy() - flow.behaviour
        stay, move = flow.push(flow.behaviour), flow.push(change)
        moved = torch.zeros_like(flow.start)
        weights = []
        for visits in flow.visits(flow.behaviour):
            weights.append(visits + moved)
            moved = flow.weight_discount.unsqueeze(-1) * (step(moved, stay) + step(visits, move))
        stacked = stack(weights).unsqueeze(-1)
        return _total((stacked * change * flow.advantages()).sum(0))


def _mean_sum(x: Tensor) -> Tensor:
    return x.sum(-1).mean(-1)


def _total(x: Tensor) -> Tensor:
    return x.sum((-1, -2))
