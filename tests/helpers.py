"""Shared by the tests: small problems, derivatives of a batch, steps of stored trajectories, the test of a mean."""

from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.rollout import log_prob, lookup

FALSE_ALARM = 1e-6
"""Probability that one call of `rejects` rejects a true target."""

ESTIMATORS = [gl.AD(), gl.LVC(), gl.DiCE(), gl.LoadedDiCE(1.0), gl.LoadedDiCE(0.5), gl.LoadedDiCE(0.0), gl.TayPO2()]
WITH_BASELINE = [estimator for estimator in ESTIMATORS if estimator != gl.DiCE()]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def batch_of_mdps(n_states: int = 3, n_actions: int = 2) -> gl.TabularMDP:
    """Four random MDPs, each with a discount and a start distribution of its own."""
    mdp = gl.random_mdp(n_states, n_actions, concentration=0.5, seed=range(4))
    start = normal(4, n_states, seed=9).softmax(-1)
    return mdp.replace(discount=double([0.5, 0.8, 0.9, 0.0]), start_state=start)


def tiny_mdp() -> gl.TabularMDP:
    """Two states, two actions, every transition possible: few enough trajectories to count them all."""
    return gl.random_mdp(2, 2, concentration=1.0, seed=3)


def derivatives(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value `(...)`, gradient `(..., d)` and Hessian `(..., d, d)` at tables x `(..., S, A)`, by double backward."""
    leaf = x.detach().clone().requires_grad_()
    value = f(leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
    flat = gradient.flatten(-2)
    rows = [torch.autograd.grad(flat[..., i].sum(), leaf, retain_graph=True)[0] for i in range(flat.shape[-1])]
    return value.detach(), flat.detach(), torch.stack(rows, -3).flatten(-2)


def finite_differences(f: Callable[[Tensor], Tensor], x: Tensor, n_dims: int = 2, step: float = 1e-5) -> Tensor:
    """Central differences in the last `n_dims` dimensions of x, taken together: `(*f(x).shape, d)`."""
    shape = x.shape[x.ndim - n_dims :]
    columns = []
    for i in range(shape.numel()):
        shift = torch.zeros(shape.numel(), dtype=x.dtype)
        shift[i] = step
        shift = shift.view(shape)
        columns.append((f(x + shift) - f(x - shift)) / (2 * step))
    return torch.stack(columns, -1).detach()


def close(got: Tensor, wanted: Tensor, relative: float) -> bool:
    """Equal shapes, and equal up to `relative` times the largest entry of `wanted`."""
    return got.shape == wanted.shape and bool((got - wanted).abs().max() <= relative * wanted.abs().max())


def differ(a: Tensor, b: Tensor) -> bool:
    """Far from equal: by more than a thousandth of the largest entry."""
    return not close(a, b, 1e-3)


def steps_of(
    mdp: gl.TabularMDP,
    theta: Tensor,
    trajectories: gl.Trajectories,
    baseline: Tensor,
    gae_lambda: float = 1.0,
    off_policy: bool = True,
) -> gl.Steps:
    """What an estimator sees of the trajectories with a value table `(S,)` of ours as baseline and bootstrap."""
    along = baseline[trajectories.states]
    return gl.Steps(
        log_prob=log_prob(theta, trajectories.states, trajectories.actions),
        reward=lookup(mdp.rewards, trajectories.states, trajectories.actions),
        value=along[..., :-1],
        next_value=along[..., 1:],
        discount=mdp.discount,
        behaviour_log_prob=trajectories.behaviour_log_prob if off_policy else None,
        gae_lambda=gae_lambda,
    )


def rejects(estimates: Tensor, target: Tensor, false_alarm: float = FALSE_ALARM) -> bool:
    """Whether M independent estimates `(M, ...)` have another mean than `target` `(...)`.

    The largest |z| over the d coordinates is compared with the normal quantile of 1 − false_alarm / (2 d)
    (Bonferroni, which dependent coordinates only make safer). The normal approximation holds where M is in the
    hundreds. A coordinate that never varies must equal its target up to rounding.
    """
    errors = (estimates - target).flatten(1)
    mean, standard_error = errors.mean(0), errors.std(0) / len(errors) ** 0.5
    fixed = standard_error < 1e-14
    if bool((mean[fixed].abs() > 1e-10).any()):
        return True
    z = (mean[~fixed] / standard_error[~fixed]).abs()
    return len(z) > 0 and z.max().item() > NormalDist().inv_cdf(1 - false_alarm / (2 * len(z)))
