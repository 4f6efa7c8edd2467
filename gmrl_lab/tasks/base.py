"""What a meta-learning task is: two problems that share meta-parameters φ and inner parameters θ."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes
from gmrl_lab.exact import check_theta
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.oracles import Oracle
from gmrl_lab.problem import Problem
from gmrl_lab.seeding import Generators, Streams


class Task(ABC):
    """One algorithm of the paper's Table 1: how φ and θ make the inner and the outer problem.

    A subclass gives the shapes, `theta_0`, `inner` and `outer`. Leading dimensions of φ and θ are a batch.

    Taught in lesson 02.
    """

    @property
    @abstractmethod
    def phi_shape(self) -> tuple[int, ...]:
        """Shape of one φ."""

    @property
    @abstractmethod
    def theta_shape(self) -> tuple[int, ...]:
        """Shape of one θ."""

    @property
    @abstractmethod
    def batch_shape(self) -> torch.Size:
        """Leading dimensions that the task itself has, such as a batch of MDPs."""

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """Any tensor of the task: φ must have its dtype and device."""

    @abstractmethod
    def theta_0(self, phi: Tensor) -> Tensor:
        """The initial inner parameters, `(..., *theta_shape)`; carries φ where it depends on it."""

    @abstractmethod
    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The problem whose objective the inner loop ascends."""

    @abstractmethod
    def outer(self, phi: Tensor, theta: Tensor) -> Problem:
        """The problem whose objective judges the adapted parameters."""

    def inner_update(
        self, phi: Tensor, theta: Tensor, oracle: Oracle, generator: Streams | Generators | None = None
    ) -> Tensor:
        """The update field g(φ, θ), `(..., *theta_shape)`: by default ∇_θ of the oracle's surrogate.

        A task whose update is no gradient overrides it. θ must require gradients; the result is differentiable in
        φ and θ where φ requires them too.
        """
        surrogate = oracle.surrogate(self.inner(phi, theta), generator)
        (update,) = torch.autograd.grad(surrogate.sum(), theta, create_graph=phi.requires_grad)
        return update


@dataclass(frozen=True, eq=False)
class TabularTask(Task):
    """A task on one MDP, or a batch, whose φ and θ are both tables `(..., S, A)`."""

    mdp: TabularMDP

    @property
    def phi_shape(self) -> tuple[int, ...]:
        """(S, A)."""
        return self.theta_shape

    @property
    def theta_shape(self) -> tuple[int, ...]:
        """(S, A)."""
        return (self.mdp.n_states, self.mdp.n_actions)

    @property
    def batch_shape(self) -> torch.Size:
        """That of the MDP."""
        return self.mdp.batch_shape

    @property
    def like(self) -> Tensor:
        """The MDP's transitions."""
        return self.mdp.transitions

    def outer(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP itself, under the policy of θ."""
        return Problem(self.mdp, theta)


@dataclass(frozen=True, eq=False)
class GivenStartTask(TabularTask):
    """A tabular task whose inner loop starts at given logits `initial_theta` `(..., S, A)`, whatever φ is."""

    initial_theta: Tensor

    def __post_init__(self) -> None:
        check_theta(self.mdp, self.initial_theta, "initial_theta")

    @property
    def batch_shape(self) -> torch.Size:
        """That of the MDP and of θ⁰ together."""
        return broadcast_shapes(self.mdp.batch_shape, self.initial_theta.shape[:-2])

    def theta_0(self, phi: Tensor) -> Tensor:
        """θ⁰, free of φ."""
        return self.initial_theta.detach()
