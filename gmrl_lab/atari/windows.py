"""Windows of T steps from fixed start states, and where they come from: what `meta_gradient_quality` measures on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gmrl_lab._validate import check_whole
from gmrl_lab.atari.network import Network
from gmrl_lab.estimators import ExpectedEstimator
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.rollout import lookup, sample
from gmrl_lab.seeding import Generators
from gmrl_lab.steps import Steps

HORIZON = 5
"""T: steps of a window, as of an update (Table 4)."""


@dataclass(frozen=True, eq=False)
class Windows:
    """n windows of T steps of one policy; a window is over where the return ends, and what follows counts nothing.

    Args:
        observations: all that differ, `(m, *shape)`: the network sees each of them once.
        seen: which of them the policy saw, `(*batch, n, T)`.
        actions: `(*batch, n, T)`.
        rewards: `(*batch, n, T)`, zero after the end.
        values: of the frozen critic, `(*batch, n, T + 1)`, zero after the end.
        alive: whether the step was taken before the end, `(*batch, n, T)`.
    """

    observations: Tensor
    seen: Tensor
    actions: Tensor
    rewards: Tensor
    values: Tensor
    alive: Tensor

    def split(self, size: int) -> Iterator["Windows"]:
        """Parts of at most `size` windows, each with the observations that it needs."""
        dim = self.actions.ndim - 2
        parts = [getattr(self, field.name).split(size, dim) for field in fields(self)[1:]]
        for seen, *others in zip(*parts, strict=True):
            own, place = seen.unique(return_inverse=True)
            yield Windows(self.observations[own], place, *others)

    def steps(self, network: Network, parameters: Parameters, discount: Tensor, gae_lambda: Tensor) -> Steps:
        """What an estimator sees: weights γᵗ up to the end of the window, and the critic at its last step."""
        log_policy = network.logits(parameters, network.features(parameters, self.observations)).log_softmax(-1)
        taken = lookup(log_policy, self.seen, self.actions)
        time = torch.arange(self.actions.shape[-1], dtype=taken.dtype, device=taken.device)
        return Steps(
            log_prob=taken,
            reward=self.rewards,
            value=self.values[..., :-1],
            next_value=self.values[..., 1:],
            discount=discount,
            gae_lambda=gae_lambda,
            weight=discount[..., None, None] ** time * self.alive,
        )


class Source(ABC):
    """A frozen policy and critic, and windows from a fixed distribution of start states.

    Args:
        network: the policy's.
        parameters: θ⁰, those of the policy alone.
        discount: γ of the outer objective.
    """

    network: Network
    parameters: Parameters
    discount: float
    batched = True
    """Whether parameters and windows may have leading dimensions, one for each generator."""

    @abstractmethod
    def draw(self, parameters: Parameters, n: int, generator: Generators) -> Windows:
        """n windows of the policy of `parameters`."""


class KnownSource(Source):
    """A source whose windows can all be summed over, so that expectations need no sampling."""

    @abstractmethod
    def expected(
        self, estimators: Mapping[str, ExpectedEstimator], parameters: Parameters, phi: Tensor
    ) -> dict[str, Tensor]:
        """E[surrogate] of each estimator over all windows of the policy of `parameters`, held fixed while it acts.

        Args:
            estimators: by name.
            parameters: θ.
            phi: γ and λ, `(2,)`.

        Returns:
            For each a number, differentiable in θ and φ.
        """


class TabularSource(KnownSource):
    """A tabular MDP with a critic that is wrong, for which the truth is known.

    Args:
        mdp: one MDP; windows start from its start distribution.
        theta: policy logits `(S, A)`.
        critic: V̂, `(S,)`.
    """

    def __init__(self, mdp: TabularMDP, theta: Tensor, critic: Tensor) -> None:
        self.mdp, self.critic, self.discount = mdp, critic, float(mdp.discount)
        self.network = Network("linear", (mdp.n_states,), mdp.n_actions)
        self._one_hot = torch.eye(mdp.n_states, dtype=critic.dtype)
        zero = torch.zeros(mdp.n_actions, dtype=theta.dtype)
        self.parameters = {"policy.weight": theta.mT.contiguous(), "policy.bias": zero}

    def theta(self, parameters: Parameters) -> Tensor:
        """Policy logits `(*batch, S, A)`."""
        return self.network.logits(parameters, self._one_hot)

    def draw(self, parameters: Parameters, n: int, generator: Generators) -> Windows:
        """By `rollout.sample`."""
        check_whole("n", n, 1)
        drawn = sample(self.mdp, self.theta(parameters), n, HORIZON, generator=generator)
        rewards = lookup(self.mdp.rewards, drawn.states, drawn.actions)
        alive, values = torch.ones_like(rewards), self.critic[drawn.states]
        return Windows(self._one_hot, drawn.states[..., :-1], drawn.actions, rewards, values, alive)

    def expected(
        self, estimators: Mapping[str, ExpectedEstimator], parameters: Parameters, phi: Tensor
    ) -> dict[str, Tensor]:
        """By the estimators' own closed forms."""
        mdp, theta = self.mdp.replace(discount=phi[0]), self.theta(parameters)
        return {
            name: estimator.expected_surrogate(mdp, theta, None, self.critic, HORIZON, phi[1])
            for name, estimator in estimators.items()
        }
