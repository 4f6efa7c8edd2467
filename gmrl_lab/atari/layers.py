"""A layered graph of states, and expectations on it: what `gmrl_lab.flow` computes, without its dense matrices."""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from gmrl_lab._validate import bad
from gmrl_lab.estimators import ExpectedEstimator, _ClosedForm
from gmrl_lab.flow import Flow


@dataclass(frozen=True, eq=False)
class Layer:
    """The n states that can be reached in t steps. One more row stands for a return that is over: worth nothing.

    Args:
        values: V̂ of the frozen critic, `(n + 1,)`.
        seen: which observation, `(n + 1,)`.
        children: which row of the next layer each action leads to, `(n + 1, A)`; `(n + 1, 0)` in the last layer.
        rewards: as the learner sees them, of the same shape.
    """

    values: Tensor
    seen: Tensor
    children: Tensor
    rewards: Tensor

    @property
    def n_states(self) -> int:
        """n."""
        return len(self.values) - 1

    def to(self, dtype: torch.dtype) -> "Layer":
        """The same with numbers of another type."""
        return replace(self, values=self.values.to(dtype), rewards=self.rewards.to(dtype))


class LayeredFlow:
    """Visits and advantages of one policy; a state stands for its time too, so that sums over times are done.

    It reads as `Flow` does, whose estimators' closed forms it serves.

    Args:
        layers: T + 1 of them.
        starts: places in the first layer, of equal probability.
        logits: of π_θ at each observation, `(m, A)`.
        discount, gae_lambda: γ and λ, `()`.
    """

    def __init__(
        self, layers: list[Layer], starts: Tensor, logits: Tensor, discount: Tensor, gae_lambda: Tensor
    ) -> None:
        self._layers, self._starts, self._discount, self._gae_lambda = layers, starts, discount, gae_lambda
        self.theta = torch.cat([logits[layer.seen] for layer in layers[:-1]])
        self.behaviour = self.theta.detach().softmax(-1)

    def expectation(self, estimator: ExpectedEstimator) -> Tensor:
        """E[surrogate], `()`, under the policy that acts, π_θ held fixed."""
        if not isinstance(estimator, _ClosedForm):
            raise bad("estimator", estimator, "one with a closed form on a flow: AD, LVC, Loaded DiCE")
        return estimator._expected(cast(Flow, self))

    def covered_policy(self) -> Tensor:
        """π_θ, `(S, A)`."""
        return self.theta.softmax(-1)

    def visits(self, policy: Tensor) -> list[Tensor]:
        """γᵗ d(s) at the time of each state, `(S,)`."""
        now = torch.bincount(self._starts, minlength=len(self._layers[0].values)) / len(self._starts)
        found = [now.to(policy.dtype)]
        for layer, after, acts in zip(self._layers, self._layers[1:-1], self._parts(policy)):
            flow = self._discount * found[-1].unsqueeze(-1) * acts
            found.append(flow.new_zeros(len(after.values)).index_add(0, layer.children.flatten(), flow.flatten()))
        return [torch.cat(found)]

    def advantages(self) -> Tensor:
        """E[Â | s, a], `(1, S, A)`: Â = r + γ V̂(s') − V̂(s) + γλ G(s'), G = Σ_a μ Â, zero after the last step."""
        gain = torch.zeros_like(self._layers[-1].values)
        found = []
        for layer, after, acts in zip(self._layers[-2::-1], self._layers[:0:-1], self._parts(self.behaviour)[::-1]):
            ahead = after.values[layer.children] + self._gae_lambda * gain[layer.children]
            found.append(layer.rewards + self._discount * ahead - layer.values.unsqueeze(-1))
            gain = (acts * found[-1]).sum(-1)
        return torch.cat(found[::-1]).unsqueeze(0)

    def visited_advantage(self) -> Tensor:
        """γᵗ d(s) Â(s, a), `(S, A)`."""
        return self.visits(self.behaviour)[0].unsqueeze(-1) * self.advantages().squeeze(0)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """What belongs to each layer."""
        parts: tuple[Tensor, ...] = x.split([len(layer.values) for layer in self._layers[:-1]])
        return parts
