"""The Hessian that an oracle reports: the second derivatives of its surrogate, by plain double backward."""

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.exact import check_theta
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.oracles import Oracle
from gmrl_lab.problem import Problem
from gmrl_lab.seeding import Generators, check_generator

ROWS_AT_ONCE = 10
"""Rows of a Hessian in one backward pass: more take the data out of the processor's cache."""


def estimated_hessian(
    mdp: TabularMDP,
    theta: Tensor,
    oracle: Oracle,
    n_trials: int | None = None,
    generator: Generators | None = None,
) -> Tensor:
    """What automatic differentiation takes for the Hessian of the return when it differentiates a surrogate twice.

        Ĥ = ∇²_θ L(θ; τ)

    It is the factor's part in (I + α Ĥ) of the meta-gradient; compare it with `exact.hessian`.

    Args:
        mdp: batch of MDPs.
        theta: policy logits `(..., S, A)`.
        oracle: `gl.Sampled(...)`, `gl.Expected(...)` or `gl.Exact(...)`.
        n_trials: independent repetitions, in a new leading dimension; None for one without it.
        generator: for random oracles; a `torch.Generator`, or a list with one for each leading element.

    Returns:
        `(n_trials, ..., S·A, S·A)` without the first for None, detached; index s·A + a.

    Raises:
        ValueError: for a θ that does not fit the MDP, a bad number of trials, a missing or misplaced generator.

    Taught in lesson 05.
    """
    batch = check_theta(mdp, theta)
    if n_trials is not None:
        check_whole("n_trials", n_trials, 1)
        batch = torch.Size((n_trials, *batch))
    if oracle.is_random and generator is None:
        raise bad("generator", None, "gl.generators(seed, n_trials) or a torch.Generator, for a random oracle")
    if generator is not None:
        check_generator(generator, theta.device, batch[0] if batch else None)
    leaf = theta.detach().expand(*batch, -1, -1).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(oracle.surrogate(Problem(mdp, leaf), generator).sum(), leaf, create_graph=True)
    total = gradient.reshape(-1, mdp.n_states * mdp.n_actions).sum(0)
    picks = torch.eye(len(total), dtype=theta.dtype, device=theta.device).split(ROWS_AT_ONCE)
    rows = [torch.autograd.grad(total, leaf, pick, retain_graph=True, is_grads_batched=True)[0] for pick in picks]
    return torch.cat(rows).movedim(0, -3).flatten(-2)
