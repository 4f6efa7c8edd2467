"""The meta-gradient: K inner steps, and the derivative through them, with any oracle in each of three roles.

    θᵏ⁺¹ = θᵏ + α g(φ, θᵏ),   k = 0 … K − 1,   J^K(φ) = J^Out(φ, θ^K)

By automatic differentiation with the stop-gradient splice, and by Proposition 3.1 written out as matrix products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from gmrl_lab._tensors import split_last
from gmrl_lab._validate import (
    bad,
    check_broadcast,
    check_finite,
    check_like,
    check_positive,
    check_trailing,
    check_whole,
)
from gmrl_lab.oracles import Exact, Oracle, Sampled
from gmrl_lab.seeding import Generators, Streams, check_generator, clone, spawn_roles
from gmrl_lab.tasks import Task

ROLES = ("inner", "hessian", "outer")
"""The three places of an oracle, in the order in which their random seeds are drawn."""

EXACT = Exact()
"""The true objective over an infinite horizon: the default of every role."""


def meta_gradient(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    inner: Oracle = EXACT,
    hessian: Oracle = EXACT,
    outer: Oracle = EXACT,
    n_trials: int | None = None,
    generator: Generators | None = None,
    share_samples: bool = False,
) -> Tensor:
    """∇_φ J^K(φ), with the value and the derivative of each inner step from two oracles (the paper's Appendix I.1.2).

        θᵏ⁺¹ = ⊥(θ_I) + θ_II − ⊥(θ_II),   θ_I = ⊥(θᵏ) + α ĝ_I,   θ_II = θᵏ + α ĝ_II

    Its value is that of oracle I (`inner`), its derivative that of oracle II (`hessian`); oracle III (`outer`)
    gives J^Out. The defaults are exact, so that the result is the exact meta-gradient (EEE).

    Args:
        task: MAML, LIRPG, …
        phi: meta-parameters `(*batch, *phi_shape)`; broadcast with the task's own batch.
        n_inner_steps: K ≥ 0.
        inner_lr: α > 0.
        inner, hessian, outer: oracles for the roles I, II and III.
        n_trials: independent repetitions, in a new leading dimension; None for one without it.
        generator: for random oracles; a `torch.Generator`, or a list with one for each leading element. One seed
            per role is drawn from it at the start, so that the roles' samples do not depend on one another.
        share_samples: give `inner` and `hessian` the same trajectories, as practical MAML does; fresh otherwise.

    Returns:
        `(n_trials, *batch, *phi_shape)` without the first for None, detached. Zeros where φ has no influence.

    Raises:
        ValueError: for numbers out of range, a φ that does not fit the task, a missing generator, or parameters
            that become infinite or NaN in the inner loop (the message names k and α).

    Taught in lesson 02.
    """
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (inner, hessian, outer), n_trials, generator)
    streams = spawn_roles(generator, ROLES)
    if share_samples:
        _check_shared(inner, hessian)
        streams["hessian"] = clone(streams["inner"])
    theta = adapted(task, leaf, n_inner_steps, inner_lr, inner, hessian, streams, share_samples)
    return outer_gradient(outer.surrogate(task.outer(leaf, theta), streams["outer"]), leaf)


def adapted(
    task: Task,
    leaf: Tensor,
    n_inner_steps: int,
    inner_lr: float,
    inner: Oracle,
    hessian: Oracle,
    streams: dict[str, Streams | None],
    share_samples: bool = False,
) -> Tensor:
    """θ^K of `meta_gradient`, `(*batch, *theta_shape)`: its value from oracle I, its derivative in φ from oracle II."""
    together = inner == hessian and (share_samples or not inner.is_random)
    inner, hessian = begun(inner), begun(hessian)
    theta = _with_grad(task.theta_0(leaf).expand(*leaf.shape[: leaf.ndim - len(task.phi_shape)], *task.theta_shape))
    for k in range(n_inner_steps):
        step = task.inner_update(leaf, theta, hessian, streams["hessian"])
        valued = step if together else _valued_step(task, leaf, theta, inner, streams["inner"])
        moved = theta + inner_lr * step
        theta = theta.detach() + inner_lr * valued.detach() + moved - moved.detach()
        check_finite("theta", theta, f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    return theta


def outer_gradient(surrogate: Tensor, leaf: Tensor, retain_graph: bool = False) -> Tensor:
    """∇_φ of the outer surrogate, detached; zeros where φ has no influence."""
    (gradient,) = torch.autograd.grad(surrogate.sum(), leaf, allow_unused=True, retain_graph=retain_graph)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()


@dataclass(frozen=True, eq=False)
class ProductTerms:
    """The terms of Proposition 3.1; index pairs (a, b) mean ∂(output b)/∂(input a), parameters flattened.

    Args:
        direct: ∇_φ J^Out(φ, θ^K), `(*batch, *phi_shape)`.
        start: ∇_φ θ⁰ Π_j X_j v, `(*batch, *phi_shape)`; zero where θ⁰ does not depend on φ.
        indirect: α D_i Π_{j>i} X_j v for each i, K tensors `(*batch, *phi_shape)`.
        jacobians: D_i = ∇_φ g(φ, θⁱ), K tensors `(*batch, dφ, dθ)`.
        factors: X_j = I + α H_j, K tensors `(*batch, dθ, dθ)`.
        path: θ⁰ … θ^K, K + 1 tensors `(*batch, *theta_shape)`.

    Taught in lesson 03.
    """

    direct: Tensor
    start: Tensor
    indirect: tuple[Tensor, ...]
    jacobians: tuple[Tensor, ...]
    factors: tuple[Tensor, ...]
    path: tuple[Tensor, ...]

    @property
    def total(self) -> Tensor:
        """The meta-gradient: the sum of all terms."""
        return self.direct + self.start + sum(self.indirect, torch.zeros_like(self.direct))


def product_terms(task: Task, phi: Tensor, n_inner_steps: int = 1, inner_lr: float = 10.0) -> ProductTerms:
    """Each term of Proposition 3.1 for the exact meta-gradient; arguments and errors as for `meta_gradient`.

    Taught in lesson 03.
    """
    _check_kinds(task, phi, {})
    _check_numbers(n_inner_steps, inner_lr, None)
    phi = _leaf(task, phi, None).detach()
    batch = phi.shape[: phi.ndim - len(task.phi_shape)]
    n_phi, n_theta = len(task.phi_shape), len(task.theta_shape)

    def update(phi_: Tensor, theta_: Tensor) -> Tensor:
        return task.inner_update(phi_, theta_, EXACT).flatten(-n_theta)

    start = task.theta_0(phi).detach().expand(*batch, *task.theta_shape)
    path, jacobians, factors = [start], [], []
    for k in range(n_inner_steps):
        step, by_phi, by_theta = field_jacobians(update, phi, path[-1], n_phi, n_theta)
        eye = torch.eye(by_theta.shape[-1], dtype=phi.dtype, device=phi.device)
        jacobians.append(by_phi)
        factors.append(eye + inner_lr * by_theta)
        path.append(path[-1] + inner_lr * split_last(step, task.theta_shape))
        check_finite("theta", path[-1], f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    direct, outer = _outer_gradients(task, phi, path[-1])

    def initial(phi_: Tensor, theta_: Tensor) -> Tensor:
        return task.theta_0(phi_).expand_as(theta_).flatten(-n_theta)

    _, by_start, _ = field_jacobians(initial, phi, start, n_phi, n_theta)
    ahead, indirect = outer.flatten(-n_theta).unsqueeze(-1), []
    for jacobian, factor in zip(reversed(jacobians), reversed(factors), strict=True):
        indirect.append((inner_lr * jacobian @ ahead).reshape(phi.shape))
        ahead = factor @ ahead
    through_start = (by_start @ ahead).reshape(phi.shape)
    return ProductTerms(direct, through_start, tuple(indirect[::-1]), tuple(jacobians), tuple(factors), tuple(path))


def meta_gradient_by_product(
    task: Task, phi: Tensor, n_inner_steps: int = 1, inner_lr: float = 10.0, terms: bool = False
) -> Tensor | ProductTerms:
    """The exact meta-gradient by Proposition 3.1, as explicit products of matrices.

        ∇_φ J^K = ∇_φ J^Out + ∇_φ θ⁰ Π_{j<K} (I + α H_j) v + α Σ_i D_i Π_{j>i} (I + α H_j) v,   v = ∇_θ J^Out(φ, θ^K)

    It must agree with `meta_gradient` and costs far more: a check, and a way to see each part.

    Args:
        task, phi, n_inner_steps, inner_lr: as for `meta_gradient`.
        terms: return the `ProductTerms` instead of their sum.

    Returns:
        `(*batch, *phi_shape)`, or the terms.

    Raises:
        ValueError: as `meta_gradient`.

    Taught in lesson 03.
    """
    found = product_terms(task, phi, n_inner_steps, inner_lr)
    return found if terms else found.total


def begun(oracle: Oracle) -> Oracle:
    """The oracle of one inner loop: one that remembers its steps begins with an empty memory."""
    return cast(Oracle, oracle.begin()) if hasattr(oracle, "begin") else oracle


def check_call(
    task: Task,
    phi: Tensor,
    n_inner_steps: int,
    inner_lr: float,
    oracles: tuple[Oracle, Oracle, Oracle],
    n_trials: int | None,
    generator: Generators | None,
) -> Tensor:
    """φ as a fresh leaf with trials in front, once all arguments of `meta_gradient` are known to be right."""
    _check_kinds(task, phi, dict(zip(ROLES, oracles, strict=True)))
    _check_numbers(n_inner_steps, inner_lr, n_trials)
    leaf = _leaf(task, phi, n_trials)
    _check_random(oracles, generator, leaf, task)
    return leaf


def _check_kinds(task: Task, phi: Tensor, oracles: dict[str, Oracle]) -> None:
    if not isinstance(task, Task):
        raise bad("task", repr(task), "a task, such as gl.MAML(mdp)")
    if not isinstance(phi, Tensor):
        raise bad("phi", type(phi).__name__, "a torch.Tensor")
    for role, oracle in oracles.items():
        if not callable(getattr(oracle, "surrogate", None)):
            raise bad(role, repr(oracle), "an oracle: gl.Exact(), gl.Sampled(...), gl.Expected(...)")


def _check_numbers(n_inner_steps: int, inner_lr: float, n_trials: int | None) -> None:
    check_whole("n_inner_steps", n_inner_steps, 0)
    check_positive("inner_lr", inner_lr)
    if n_trials is not None:
        check_whole("n_trials", n_trials, 1)


def _leaf(task: Task, phi: Tensor, n_trials: int | None) -> Tensor:
    """φ expanded to `(n_trials, *batch, *phi_shape)` as a fresh leaf, so that each trial has its own gradient."""
    shape, n_dims = task.phi_shape, len(task.phi_shape)
    check_trailing("phi", phi, shape)
    check_like("phi", phi, "the task", task.like)
    check_finite("phi", phi)
    batch = check_broadcast("phi", phi.shape[: phi.ndim - n_dims], "the task", task.batch_shape)
    trials = () if n_trials is None else (n_trials,)
    return phi.detach().expand(*trials, *batch, *shape).clone().requires_grad_()


def _check_random(oracles: tuple[Oracle, ...], generator: Generators | None, leaf: Tensor, task: Task) -> None:
    random_roles = [role for role, oracle in zip(ROLES, oracles, strict=True) if oracle.is_random]
    if generator is None:
        if random_roles:
            allowed = f"gl.generators(seed, n_trials) or a torch.Generator, for the random {' and '.join(random_roles)}"
            raise bad("generator", None, allowed)
        return
    leading = leaf.shape[0] if leaf.ndim > len(task.phi_shape) else None
    check_generator(generator, leaf.device, leading)


def _check_shared(inner: Oracle, hessian: Oracle) -> None:
    inner, hessian = (getattr(oracle, "sampled", oracle) for oracle in (inner, hessian))  # of old and fresh, the fresh
    if isinstance(inner, Sampled) and isinstance(hessian, Sampled):
        sizes = [(oracle.n_trajectories, oracle.horizon) for oracle in (inner, hessian)]
        if sizes[0] != sizes[1]:
            raise bad("share_samples", f"True with (n, horizon) = {sizes}", "equal sizes for inner and hessian")


def _with_grad(theta: Tensor) -> Tensor:
    return theta if theta.requires_grad else theta.clone().requires_grad_()


def _valued_step(task: Task, phi: Tensor, theta: Tensor, oracle: Oracle, streams: Streams | None) -> Tensor:
    return task.inner_update(phi.detach(), theta.detach().requires_grad_(), oracle, streams)


def _outer_gradients(task: Task, phi: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    phi, theta = phi.clone().requires_grad_(), theta.clone().requires_grad_()
    objective = EXACT.surrogate(task.outer(phi, theta))
    by_phi, by_theta = torch.autograd.grad(objective.sum(), (phi, theta), allow_unused=True)
    zero = torch.zeros_like
    return zero(phi) if by_phi is None else by_phi, zero(theta) if by_theta is None else by_theta


def field_jacobians(
    update: Callable[[Tensor, Tensor], Tensor], phi: Tensor, theta: Tensor, n_phi: int, n_theta: int
) -> tuple[Tensor, Tensor, Tensor]:
    """g(φ, θ) flat, and ∂g_b/∂φ_a, ∂g_b/∂θ_a as `(*batch, a, b)`, by one copy of the batch for each output b."""
    size = theta.shape[theta.ndim - n_theta :].numel()
    copies = [x.expand(size, *x.shape).clone().requires_grad_() for x in (phi, theta)]
    field = update(copies[0], copies[1])
    eye = torch.eye(size, dtype=phi.dtype, device=phi.device)
    picked = (field * eye.view(size, *[1] * (field.ndim - 2), size)).sum()
    grads = torch.autograd.grad(picked, copies, allow_unused=True) if picked.requires_grad else (None, None)
    rows = [torch.zeros_like(x) if g is None else g for x, g in zip(copies, grads, strict=True)]
    by_phi, by_theta = (row.flatten(-n).movedim(0, -1) for row, n in zip(rows, (n_phi, n_theta), strict=True))
    return field[0].detach(), by_phi, by_theta
