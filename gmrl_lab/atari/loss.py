"""The actor-critic loss of a batch, the same for A2C and for MGRL's inner and outer updates.

    L(φ, θ) = −(1/NT) Σ Â_t log π_θ(a_t|s_t) + c_v (1/NT) Σ (V_θ(s_t) − R_t)² − c_e (1/NT) Σ H(π_θ(·|s_t))

with Â GAE at γ_φ and λ_φ, and R_t = Â_t + V̂(s_t). An update is −∇_θ L with Â and R held fixed: not the gradient of any
objective, but a field, and its derivative in θ is what the estimators differ in.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gmrl_lab._validate import bad
from gmrl_lab.atari.batch import Batch
from gmrl_lab.atari.network import Network
from gmrl_lab.atari.settings import Table4
from gmrl_lab.estimators import AD, Estimator
from gmrl_lab.learners.optimisers import Parameters, detach
from gmrl_lab.steps import Steps

PLAIN = AD()
"""What plain automatic differentiation gives: the estimator of A2C, MGRL and the outer loss."""


@dataclass(frozen=True, eq=False)
class Hyper:
    """What φ decides: γ, λ, c_v and c_e, each `(*batch)`.

    Taught in lesson 13.
    """

    discount: Tensor
    gae_lambda: Tensor
    value_coefficient: Tensor
    entropy_coefficient: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Hyper":
        """From the meta-parameters φ, `(*batch, 4)`, through sigmoids."""
        return cls(*logits.sigmoid().unbind(-1))


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss and its three terms, each `(*batch)`; the policy term is a surrogate, whose value says little."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What acting has computed on its way: features of the observations at each step, with the graph to θ.

    Args:
        parameters: θ, with which the features were computed; they serve no other.
        features: `(*batch, N, n_features)` for each step.

    Taught in lesson 13.
    """

    parameters: Parameters
    features: list[Tensor]

    def at(self, parameters: Parameters, n_steps: int) -> Tensor:
        """The features of all T steps, `(T, *batch, N, n_features)`.

        Raises:
            ValueError: if they belong to other parameters or to another number of steps.
        """
        if parameters is not self.parameters:
            raise bad("seen", "features at other parameters", "those at the parameters of the loss")
        if len(self.features) != n_steps:
            raise bad(
                "seen", f"features of {len(self.features)} steps", f"one call of the policy for each of {n_steps}"
            )
        return torch.stack(self.features)


@dataclass(frozen=True)
class ActorCritic:
    """How the loss is put together.

    Args:
        network: the actor-critic.
        estimator: of the policy term: AD, LVC, or any with `surrogate(steps)`.
        corrected: weigh each term by ρ of all actions of the window that it depends on (see `loss`). The estimator
            must then be AD.
        critic_derivative: what V̂ inside Â carries in a meta-gradient: "none", "phi" or "full".
        reward_clip: rewards are seen in [−clip, clip].

    Taught in lesson 13.
    """

    network: Network
    estimator: Estimator = PLAIN
    corrected: bool = False
    critic_derivative: str = "none"
    reward_clip: float = 1.0

    @classmethod
    def of(cls, settings: Table4, network: Network) -> "ActorCritic":
        """The inner loss of a variant."""
        full = settings.variant == "mgrl-full"
        return cls(network, settings.estimator, full, settings.critic_derivative, settings.reward_clip)

    def outer(self, parameters: Parameters, batch: Batch, hyper: Hyper, seen: Seen | None = None) -> Tensor:
        """The loss that judges θ^K, `(*batch)`: its policy term alone (as in the published commands), uncorrected."""
        plain = replace(self, estimator=PLAIN, corrected=False, critic_derivative="none")
        return plain.loss(parameters, batch, hyper, seen=seen).policy

    def features(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """x of the observations of some steps, one step after the other: as acting computes them, to the last digit."""
        return torch.stack([self.network.features(parameters, seen) for seen in observations])

    def loss(
        self,
        parameters: Parameters,
        batch: Batch,
        hyper: Hyper,
        held: Parameters | None = None,
        seen: Seen | None = None,
    ) -> Loss:
        """The loss at `parameters`, in which the update differentiates.

        Args:
            parameters: θ.
            batch: actions of π_θ.
            hyper: γ_φ, λ_φ and the coefficients.
            held: the same numbers as `parameters`, through which V̂ (critic_derivative "full") and the ratios of the
                correction depend on θ without being part of the update. None where nothing will differentiate it.
            seen: what acting at `parameters` has left; None computes the features here.

        Raises:
            ValueError: if what was seen belongs to other parameters.

        With the correction every temporal-difference error δ_l is multiplied by ρ_{0:l}, of all actions up to step l,
        and the entropy at s_t by ρ_{0:t−1}. All of them are 1, and since they depend on θ through `held` alone, they
        change no update. They make its derivative that of the expected update, given the first observations:

            ∂/∂θ E_{τ∼π_θ}[ĝ(τ, θ)] = E[∂ĝ/∂θ + ĝ ∇ log p_θ(τ)]

        LVC keeps of these the ratio of a term's own action, in the policy term.
        """
        net = self.network
        features = (
            self.features(parameters, batch.observations[:-1]) if seen is None else seen.at(parameters, batch.n_steps)
        )
        log_policy = net.logits(parameters, features).log_softmax(-1)
        steps = self.steps(batch, log_policy, *self._critic(features, parameters, held, batch, hyper), hyper)
        entropy = _time_last(-(log_policy.exp() * log_policy).sum(-1))
        corrected = steps
        if self.corrected and held is not None:
            log_ratio = self._log_ratio(held, batch)
            corrected = _corrected(steps, hyper.discount, log_ratio.cumsum(-1).exp())
            entropy = entropy * (log_ratio.cumsum(-1) - log_ratio).exp()
        target = steps.value + corrected.advantage
        error = _time_last(net.value(parameters, features, hyper.discount)) - target
        policy, value, spread = -self.estimator.surrogate(corrected), (error**2).mean((-1, -2)), entropy.mean((-1, -2))
        total = policy + hyper.value_coefficient * value - hyper.entropy_coefficient * spread
        return Loss(total, policy, value, spread)

    def _critic(
        self, features: Tensor, parameters: Parameters, held: Parameters | None, batch: Batch, hyper: Hyper
    ) -> tuple[Tensor, Tensor]:
        """V̂ of all observations `(T + 1, *batch, N)` and of those at truncation `(m,)`."""
        net, seen, final = self.network, batch.observations, batch.final_observations
        if self.critic_derivative == "full" and held is not None:
            critic, through = held, self.features(held, seen)
        else:
            critic = detach(parameters)
            through = torch.cat([features.detach(), net.features(critic, seen[-1:])])
        discount = hyper.discount.detach() if self.critic_derivative == "none" else hyper.discount
        at_end = net.value(critic, net.features(critic, final), discount) if len(final) else discount.new_zeros(0)
        return net.value(critic, through, discount), at_end

    def steps(self, batch: Batch, log_policy: Tensor, values: Tensor, at_end: Tensor, hyper: Hyper) -> Steps:
        """What an estimator sees: `(*batch, N, T)`."""
        following = torch.where(batch.ended, 0.0, values[1:])
        if len(at_end):
            following = following.masked_scatter(batch.truncated, at_end)
        reward = batch.rewards.to(values.dtype).clamp(-self.reward_clip, self.reward_clip)
        return Steps(
            log_prob=_taken(log_policy, batch),
            reward=_time_last(reward),
            value=_time_last(values[:-1]),
            next_value=_time_last(following),
            discount=hyper.discount,
            ended=_time_last(batch.ended),
            gae_lambda=hyper.gae_lambda,
            weight=torch.full((), 1 / batch.n_steps, dtype=values.dtype, device=values.device),
        )

    def _log_ratio(self, held: Parameters, batch: Batch) -> Tensor:
        """log ρ_t as a function of θ through `held`."""
        log_policy = self.network.logits(held, self.features(held, batch.observations[:-1])).log_softmax(-1)
        log_prob = _taken(log_policy, batch)
        return log_prob - log_prob.detach()


def _corrected(steps: Steps, discount: Tensor, ratio: Tensor) -> Steps:
    """The same steps with every temporal-difference error multiplied by a ratio."""
    error = steps.reward + discount[..., None, None] * steps.next_value - steps.value
    zero = torch.zeros_like(error)
    return replace(steps, reward=ratio * error, value=zero, next_value=zero)


def _taken(log_policy: Tensor, batch: Batch) -> Tensor:
    """log π(a_t|s_t), `(*batch, N, T)`."""
    return _time_last(log_policy.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1))


def _time_last(x: Tensor) -> Tensor:
    """`(T, *batch, N)` as `(*batch, N, T)`."""
    return x.movedim(0, -1)
