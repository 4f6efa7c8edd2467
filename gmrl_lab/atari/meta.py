"""The inner updates, and the meta-gradient through them: pure functions of parameters and batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gmrl_lab.atari.batch import Batch
from gmrl_lab.atari.loss import ActorCritic, Hyper, Loss, Seen
from gmrl_lab.learners.optimisers import Optimiser, OptimiserState, Parameters, clip_by_norm, detach


@dataclass(frozen=True, eq=False)
class Inner:
    """Where an inner loop stands: θᵏ and the state of its optimiser, with the graph to φ if there is one."""

    parameters: Parameters
    optimiser: OptimiserState

    @cached_property
    def held(self) -> Parameters:
        """θᵏ as a point that a meta-gradient passes through."""
        return {name: x if x.requires_grad else x.detach().requires_grad_() for name, x in self.parameters.items()}

    @cached_property
    def moving(self) -> Parameters:
        """The same numbers, in which the update differentiates, and with which it should act."""
        return {name: x.view_as(x) for name, x in self.held.items()}

    def detach(self) -> "Inner":
        """The same numbers without a graph."""
        return Inner(detach(self.parameters), self.optimiser.detach())


@dataclass(frozen=True)
class InnerUpdate:
    """One update of the actor-critic: θ' = θ − α · optimiser(clip(∇_θ L(φ, θ))).

    Args:
        loss: the loss and its estimator.
        optimiser: Adam or SGD.
        max_grad_norm: of the clip; None for none.

    Taught in lesson 13.
    """

    loss: ActorCritic
    optimiser: Optimiser
    max_grad_norm: float | None = None

    def __call__(
        self,
        inner: Inner,
        batch: Batch,
        phi: Tensor,
        lr: float,
        create_graph: bool = False,
        seen: Seen | None = None,
    ) -> tuple[Inner, Loss, Tensor]:
        """The updated parameters, the loss before, and the norm of its gradient, `(*batch)`.

        Args:
            inner: θ and the optimiser's state.
            batch: actions of π_θ.
            phi: logits of the meta-parameters, `(*batch, 4)`.
            lr: α.
            create_graph: keep what a meta-gradient needs.
            seen: what acting with `inner.moving` has left; None computes it anew.
        """
        moving = inner.moving
        loss = self.loss.loss(moving, batch, Hyper.of(phi), inner.held if create_graph else None, seen=seen)
        found = torch.autograd.grad(loss.total.sum(), list(moving.values()), create_graph=create_graph)
        gradients, norm = clip_by_norm(dict(zip(moving, found)), self.max_grad_norm, phi.ndim - 1)
        return Inner(*self.optimiser.step(inner.parameters, gradients, inner.optimiser, lr)), loss, norm


def meta_gradient(
    update: InnerUpdate,
    start: Inner,
    phi: Tensor,
    inner: Sequence[Batch],
    outer: Batch,
    reference: Hyper,
    lr: float,
) -> Tensor:
    """∇_φ of the outer loss after one update for each inner batch, `(*batch, 4)`.

        ∇_φ L^Out(θ^K),   θ^{k+1} = θᵏ − α · optimiser(clip(∇_θ L(φ, θᵏ; τ_k)))

    The batches are given: batch k must hold actions of π_{θᵏ}. `Learner.update` draws them on the way.

    Args:
        update: the inner update.
        start: θ⁰ and the optimiser's state, without a graph.
        phi: logits of the meta-parameters, `(*batch, 4)`.
        inner: K batches.
        outer: the batch of the outer loss.
        reference: γ and λ of the outer loss.
        lr: α.

    Taught in lesson 13.
    """
    leaf = phi.detach().clone().requires_grad_()
    for batch in inner:
        start, _, _ = update(start, batch, leaf, lr, create_graph=True)
    loss = update.loss.outer(start.parameters, outer, reference)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return gradient
