"""The constants as they are along one actual path: measured on segments between the exact path and sampled ones."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.bounds.constants import Constants
from gmrl_lab.estimators import ExpectedEstimator
from gmrl_lab.meta import EXACT, check_call, field_jacobians
from gmrl_lab.oracles import Exact, Expected, Oracle, Sampled
from gmrl_lab.seeding import Streams, spawn_roles
from gmrl_lab.tasks import Task


class _Paths(NamedTuple):
    """The exact path, sampled ones from the same start, and the variance of one trajectory's gradient along them."""

    exact: list[Tensor]
    sampled: list[Tensor]
    sigma_in: float


def local_constants(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    *,
    inner: Sampled,
    hessian: Sampled | None = None,
    outer: Sampled | None = None,
    target: Exact = EXACT,
    n_points: int = 8,
    generator: torch.Generator,
) -> Constants:
    """The constants of Lemma 4.4 and Theorem 4.5, measured along the exact path and `n_points` sampled ones.

    Norms are the largest over the exact path, the ends θ̂ᵏ, and a random point of each segment from θᵏ to θ̂ᵏ; Lipschitz
    constants of D, H and ∇f the largest difference quotients from θᵏ to these. A maximum over sampled points is an
    estimate from below of the supremum over the segments, and no certificate. σ_In² is n times the mean variance of the
    inner gradient at the θ̂ᵏ, for the step where it is largest. Δ_H and Δ_J compare the expected surrogate with the
    target at the exact path's points; σ_H², σ_J² are the largest eigenvalue of the mean of (Ĥ − Ē)ᵀ(Ĥ − Ē), which few
    samples overstate. Eight points do for the bound of order n^-½, which has room to spare; the bound of order 1/n is
    nearly attained at K = 1, and with eight it was below the true bias in 9 of 20 tiny problems, with 128 in none.

    Args:
        task: one task, no batch.
        phi: one φ, of the task's φ shape.
        n_inner_steps, inner_lr: K ≥ 1 and α.
        inner: the sampled inner update.
        hessian: the sampled Hessian and Jacobian; None for exact ones, Δ = σ = 0.
        outer: the sampled outer gradient; None for the exact one.
        target: the exact inner objective that `inner` is unbiased for; with a horizon, the matching one.
        n_points: sampled paths, and samples of each estimate.
        generator: of all random numbers.

    Returns:
        `Constants` of kind "local".

    Raises:
        ValueError: for a batch, fewer than two points, no inner step, and as `meta_gradient`.

    Taught in lessons 04 and 06.
    """
    check_whole("n_points", n_points, 2)
    check_whole("n_inner_steps", n_inner_steps, 1)
    if task.batch_shape or phi.shape != torch.Size(task.phi_shape):
        raise bad("phi", f"shape {tuple(phi.shape)}, task batch {tuple(task.batch_shape)}", "one φ of one task")
    check_call(task, phi, n_inner_steps, inner_lr, (inner, hessian or EXACT, outer or EXACT), n_points, generator)
    streams = spawn_roles(generator, ("inner", "hessian", "outer", "points"))
    paths = _paths(task, phi, n_inner_steps, inner_lr, inner, target, n_points, streams["inner"])
    points = _segments(paths, streams["points"])
    found = _along_the_path(task, phi, points[:-1], target) | _at_the_end(task, phi, points[-1])
    if hessian is not None:
        found |= _estimated(task, phi, torch.stack(paths.exact[:-1]), hessian, target, n_points, streams["hessian"])
    if outer is not None:
        found |= _outer_spread(task, phi, paths.sampled[-1], outer, streams["outer"])
    return Constants(sigma_in=paths.sigma_in, kind="local", **found)


def _paths(
    task: Task, phi: Tensor, k: int, inner_lr: float, inner: Sampled, target: Exact, m: int, streams: Streams | None
) -> _Paths:
    phis = phi.expand(m, *phi.shape)
    exact = [task.theta_0(phi).detach()]
    sampled = [exact[0].expand(m, *exact[0].shape)]
    sigma = 0.0
    for _ in range(k):
        exact.append(exact[-1] + inner_lr * task.inner_update(phi, _leaf(exact[-1]), target).detach())
        one, other = (task.inner_update(phis, _leaf(sampled[-1]), inner, streams).detach() for _ in range(2))
        variance = (one - other).square().sum().item() / (2 * m)
        sigma = max(sigma, (inner.n_trajectories * variance) ** 0.5)
        sampled.append(sampled[-1] + inner_lr * one)
    return _Paths(exact, sampled, sigma)


def _segments(paths: _Paths, streams: Streams | None) -> list[Tensor]:
    """For each k the point θᵏ, then the ends θ̂ᵏ and a random point of each segment, `(1 + 2M, *theta_shape)`."""
    generator = streams.rollout if streams else None
    assert isinstance(generator, torch.Generator)
    found = []
    for centre, ends in zip(paths.exact, paths.sampled, strict=True):
        shape = (len(ends), *[1] * centre.ndim)
        part = torch.rand(shape, generator=generator, dtype=centre.dtype, device=centre.device)
        found.append(torch.cat([centre.unsqueeze(0), ends, centre + part * (ends - centre)]))
    return [found[0][:1], *found[1:]]  # all paths start at the same point


def _along_the_path(task: Task, phi: Tensor, points: list[Tensor], target: Exact) -> dict[str, float]:
    """c₁, ρ₁, c₂, ρ₂ from the Jacobians of the exact update at all points of steps 0 … K − 1."""
    d, h = _jacobians(task, phi, torch.cat(points), target)
    found = {"c1": _largest(d), "c2": _largest(h), "rho1": 0.0, "rho2": 0.0}
    first = 0
    for group in points:
        part = slice(first, first + len(group))
        found["rho1"] = max(found["rho1"], _steepest(d[part], group))
        found["rho2"] = max(found["rho2"], _steepest(h[part], group))
        first += len(group)
    return found


def _at_the_end(task: Task, phi: Tensor, points: Tensor) -> dict[str, float]:
    """m₂, μ₁, μ₂ = C₀ and C₁ of the outer objective at the points of step K."""

    def field(phi_: Tensor, theta_: Tensor) -> Tensor:
        surrogate = EXACT.surrogate(task.outer(phi_, theta_)).sum()
        return torch.autograd.grad(surrogate, theta_, create_graph=True)[0].flatten(-len(task.theta_shape))

    phis = phi.expand(len(points), *phi.shape)
    gradient, mixed, curvature = field_jacobians(field, phis, points, len(task.phi_shape), len(task.theta_shape))
    steep = _largest(curvature)
    return {
        "m2": torch.linalg.vector_norm(gradient, dim=-1).max().item(),
        "mu1": _largest(mixed),
        "mu2": steep,
        "C0": steep,
        "C1": _steepest(curvature, points),
    }


def _estimated(
    task: Task, phi: Tensor, points: Tensor, oracle: Sampled, target: Exact, m: int, streams: Streams | None
) -> dict[str, float]:
    """Δ_H, Δ_J, σ_H, σ_J of the sampled derivatives, the largest of N points."""
    samples = _sampled_jacobians(task, phi, points, oracle, m, streams)
    exact = _jacobians(task, phi, points, target)
    expected = tuple(x.mean(1) for x in samples)
    if isinstance(oracle.estimator, ExpectedEstimator):
        quiet = None if oracle.baseline is None else replace(oracle.baseline, noise=0.0)  # V̂ enters affinely
        mean_oracle = Expected(oracle.estimator, oracle.horizon, oracle.gae_lambda, quiet, oracle.grad_baseline)
        expected = _jacobians(task, phi, points, mean_oracle)
    found = {}
    for name, sample, centre, truth in zip("jh", samples, expected, exact, strict=True):
        found[f"delta_{name}"] = _largest(centre - truth)
        error = sample - centre.unsqueeze(1)
        found[f"sigma_{name}"] = _largest((error.mT @ error).mean(1)) ** 0.5
    return found


def _sampled_jacobians(
    task: Task, phi: Tensor, points: Tensor, oracle: Sampled, m: int, streams: Streams | None
) -> tuple[Tensor, Tensor]:
    """M samples of D̂ and Ĥ at N points, `(N, M, dφ, dθ)` and `(N, M, dθ, dθ)`: one backward pass for each output."""
    thetas = _leaf(points.repeat_interleave(m, 0))
    phis = _leaf(phi.expand(len(thetas), *phi.shape))
    step = task.inner_update(phis, thetas, oracle, streams).flatten(1)
    columns: tuple[list[Tensor], list[Tensor]] = ([], [])
    for output in step.sum(0):
        grads = torch.autograd.grad(output, (phis, thetas), retain_graph=True, allow_unused=True)
        for column, grad, leaf in zip(columns, grads, (phis, thetas), strict=True):
            column.append((torch.zeros_like(leaf) if grad is None else grad).flatten(1))
    by_phi, by_theta = (torch.stack(column, -1).unflatten(0, (len(points), m)) for column in columns)
    return by_phi, by_theta


def _outer_spread(task: Task, phi: Tensor, thetas: Tensor, outer: Sampled, streams: Streams | None) -> dict[str, float]:
    """σ₁, σ₂: from two independent outer gradients at each θ̂^K."""
    leaves = [_leaf(phi.expand(len(thetas), *phi.shape)), _leaf(thetas)]
    draws = []
    for _ in range(2):
        surrogate = outer.surrogate(task.outer(leaves[0], leaves[1]), streams).sum()
        grads = torch.autograd.grad(surrogate, leaves, allow_unused=True)
        draws.append([torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)])
    spread = [((a - b).square().sum() / (2 * len(thetas))).sqrt().item() for a, b in zip(*draws, strict=True)]
    return {"sigma_1": spread[0], "sigma_2": spread[1]}


def _jacobians(task: Task, phi: Tensor, points: Tensor, oracle: Oracle) -> tuple[Tensor, Tensor]:
    """D `(N, dφ, dθ)` and H `(N, dθ, dθ)` of the inner update at N points."""

    def update(phi_: Tensor, theta_: Tensor) -> Tensor:
        return task.inner_update(phi_, theta_, oracle).flatten(-len(task.theta_shape))

    phis = phi.expand(len(points), *phi.shape)
    _, by_phi, by_theta = field_jacobians(update, phis, points, len(task.phi_shape), len(task.theta_shape))
    return by_phi, by_theta


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def _largest(matrices: Tensor) -> float:
    """The largest spectral norm of a batch."""
    return float(torch.linalg.matrix_norm(matrices, 2).max())


def _steepest(matrices: Tensor, points: Tensor) -> float:
    """Largest ‖X_i − X_0‖ / ‖x_i − x_0‖; 0 where all points are the same."""
    distance = torch.linalg.vector_norm((points - points[0]).flatten(1), dim=-1)
    ratio = torch.linalg.matrix_norm(matrices - matrices[0], 2) / distance
    return float(torch.where(distance > 0, ratio, 0.0).max())
