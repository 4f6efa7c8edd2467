"""All ways to sample a meta-gradient at once: exact or sampled inner update, Hessian and outer gradient."""

from itertools import product

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_finite
from gmrl_lab.meta import EXACT, ROLES, begun, check_call
from gmrl_lab.oracles import Oracle
from gmrl_lab.seeding import Generators, Streams, clone, spawn_roles
from gmrl_lab.tasks import Task

PARTS = tuple("".join(parts) for parts in product("ES", repeat=3))
"""EEE, EES, …, SSS: which of inner update, Hessian and outer gradient is sampled."""
SAMPLED_PARTS = ("SEE", "ESE", "EES", "SSE", "SES", "ESS", "SSS")
"""The seven of the paper's Figures 5 to 7: all but the exact one; one part sampled, two, three."""


def permutations(
    task: Task,
    phi: Tensor,
    n_inner_steps: int,
    inner_lr: float,
    oracle: Oracle,
    parts: tuple[str, ...] = SAMPLED_PARTS,
    *,
    n_trials: int,
    generator: Generators,
) -> dict[str, Tensor]:
    """The meta-gradient for each choice of exact and sampled parts, on common random numbers.

    Equal to `meta_gradient` with the same generators, one call for each choice; here every path, Hessian and outer
    gradient is computed once and used wherever it occurs (the paper's Appendix I.1.2).

    Args:
        task, phi, n_inner_steps, inner_lr, n_trials, generator: as for `meta_gradient`.
        oracle: what S stands for.
        parts: three letters each, E or S, for inner update, Hessian, outer gradient.

    Returns:
        For each of `parts` a tensor `(n_trials, *batch, *phi_shape)`.

    Raises:
        ValueError: for unknown parts, and as `meta_gradient`.

    Taught in lesson 08.
    """
    unknown = [name for name in parts if name not in PARTS]
    if unknown or not parts:
        raise bad("parts", unknown or parts, "some of " + ", ".join(PARTS))
    oracles: dict[str, Oracle] = {"E": EXACT, "S": oracle}
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (oracle, oracle, oracle), n_trials, generator)
    streams = spawn_roles(generator, ROLES)
    found: dict[str, Tensor] = {}
    for inner in sorted({name[0] for name in parts}):
        path = _path(task, leaf.detach(), n_inner_steps, inner_lr, begun(oracles[inner]), clone(streams["inner"]))
        outers = {name[2] for name in parts if name[0] == inner}
        ends = {outer: _outer(task, leaf, path[-1], oracles[outer], clone(streams["outer"])) for outer in outers}
        for hessian in sorted({name[1] for name in parts if name[0] == inner}):
            theta = _graph(task, leaf, path, inner_lr, begun(oracles[hessian]), clone(streams["hessian"]))
            for name in (name for name in parts if name[:2] == inner + hessian):
                direct, ahead = ends[name[2]]
                (through,) = torch.autograd.grad(theta, leaf, ahead, retain_graph=True, allow_unused=True)
                found[name] = direct if through is None else direct + through
    return {name: found[name] for name in parts}


def _path(
    task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, oracle: Oracle, streams: Streams | None
) -> list[Tensor]:
    """θ⁰ … θ^K without graph."""
    batch = phi.shape[: phi.ndim - len(task.phi_shape)]
    path = [task.theta_0(phi).detach().expand(*batch, *task.theta_shape)]
    for k in range(n_inner_steps):
        theta = path[-1].clone().requires_grad_()
        path.append(path[-1] + inner_lr * task.inner_update(phi, theta, oracle, streams).detach())
        check_finite("theta", path[-1], f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    return path


def _graph(
    task: Task, leaf: Tensor, path: list[Tensor], inner_lr: float, oracle: Oracle, streams: Streams | None
) -> Tensor:
    """θ^K with the values of `path` and the derivatives of the oracle's updates."""
    theta = task.theta_0(leaf).expand_as(path[0])
    theta = theta if theta.requires_grad else theta.clone().requires_grad_()
    for value in path[1:]:
        moved = theta + inner_lr * task.inner_update(leaf, theta, oracle, streams)
        theta = value + moved - moved.detach()
    return theta


def _outer(task: Task, leaf: Tensor, theta: Tensor, oracle: Oracle, streams: Streams | None) -> tuple[Tensor, Tensor]:
    """∇_φ J^Out and ∇_θ J^Out at θ^K."""
    theta = theta.clone().requires_grad_()
    surrogate = oracle.surrogate(task.outer(leaf, theta), streams)
    grads = torch.autograd.grad(surrogate.sum(), (leaf, theta), allow_unused=True)
    direct, ahead = (torch.zeros_like(x) if g is None else g for x, g in zip((leaf, theta), grads, strict=True))
    return direct, ahead
