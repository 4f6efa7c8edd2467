"""A2C, and MGRL on top of it: a state, and updates that turn it and fresh experience into the next state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gmrl_lab.atari.batch import Batch, NextBatch
from gmrl_lab.atari.loss import ActorCritic, Hyper, Loss, Seen
from gmrl_lab.atari.meta import Inner, InnerUpdate
from gmrl_lab.atari.network import Network
from gmrl_lab.atari.settings import META_PARAMETERS, Table4
from gmrl_lab.learners.optimisers import SGD, Adam, OptimiserState, Parameters, detach, linear_decay
from gmrl_lab.seeding import generators

Metrics = dict[str, float]
"""One row of a run's log."""


@dataclass(frozen=True, eq=False)
class LearnerState:
    """Everything that a learner is between two updates.

    Args:
        parameters: θ.
        optimiser: its running means.
        phi: logits of the four meta-parameters, in the order of `META_PARAMETERS`.
        meta_optimiser: the running means of φ's Adam.
        env_steps: environment steps seen, outer batches included.
        updates: real updates of θ; virtual ones do not count.
        meta_updates: updates of φ.
        generator: state of the random numbers from which actions are drawn, bytes.
        pending: the last outer batch, if it is to be the next inner batch ("online").

    Taught in lesson 13.
    """

    parameters: Parameters
    optimiser: OptimiserState
    phi: Tensor
    meta_optimiser: OptimiserState
    env_steps: int
    updates: int
    meta_updates: int
    generator: Tensor
    pending: Batch | None = None

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of tensors and numbers, for a checkpoint."""
        nested = ("optimiser", "meta_optimiser", "pending")
        plain = dict(vars(self))
        return plain | {name: dict(vars(plain[name])) for name in nested if plain[name] is not None}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], device: torch.device | str = "cpu") -> "LearnerState":
        """The state that `to_dict` took apart, on a device."""

        def moved(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: moved(item) for name, item in value.items()}
            return value.to(device) if isinstance(value, Tensor) else value

        there = moved(state) | {"generator": state["generator"]}
        for name in ("optimiser", "meta_optimiser"):
            there[name] = OptimiserState(**there[name])
        if there["pending"] is not None:
            there["pending"] = Batch(**there["pending"])
        return cls(**there)


class Learner:
    """A2C or MGRL with the settings of `Table4`.

    Args:
        settings: which variant, and every number.
        observation_shape: of one observation.
        n_actions: A.
        device: where parameters live. Random numbers are always drawn on the CPU: a seed is the same everywhere.
        dtype: of the parameters.

    Raises:
        ValueError: for observations that the network cannot take.

    Taught in lesson 13.
    """

    def __init__(
        self,
        settings: Table4,
        observation_shape: tuple[int, ...],
        n_actions: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.settings, self.device, self.dtype = settings, torch.device(device), dtype
        self.network = Network(settings.network, tuple(observation_shape), n_actions)
        self.inner_update = InnerUpdate(
            ActorCritic.of(settings, self.network),
            Adam() if settings.optimiser == "adam" else SGD(),
            settings.max_grad_norm,
        )
        self.meta_optimiser = Adam()
        values = [getattr(settings, name) for name in META_PARAMETERS]
        self.reference_phi = torch.tensor(values, dtype=dtype, device=self.device).logit()

    def init(self, seed: int) -> LearnerState:
        """The state before the first update; the seed decides the parameters and all actions to come."""
        weights, actions = generators(seed, 2)
        parameters = {name: x.to(self.device) for name, x in self.network.init(weights, self.dtype).items()}
        return LearnerState(
            parameters=parameters,
            optimiser=self.inner_update.optimiser.init(parameters),
            phi=self.reference_phi,
            meta_optimiser=self.meta_optimiser.init({"phi": self.reference_phi}),
            env_steps=0,
            updates=0,
            meta_updates=0,
            generator=actions.get_state(),
        )

    def act(self, parameters: Parameters, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Actions of the policy, drawn by inverse CDF from one uniform number each.

        Args:
            parameters: θ.
            observations: `(..., N, *shape)`, anywhere.
            generator: on the CPU.

        Returns:
            `(..., N)`, where the observations are.
        """
        with torch.no_grad():
            features = self.network.features(parameters, observations.to(self.device))
        return self.choose(parameters, features, generator).to(observations.device)

    def choose(self, parameters: Parameters, features: Tensor, generator: torch.Generator) -> Tensor:
        """The same from features of the observations, `(..., N, n_features)`."""
        with torch.no_grad():
            policy = self.network.logits(parameters, features).softmax(-1)
            draw = torch.rand(policy.shape[:-1], generator=generator, dtype=self.dtype).to(self.device)
            return (policy.cumsum(-1)[..., :-1] <= draw.unsqueeze(-1)).sum(-1)

    def update(self, state: LearnerState, next_batch: NextBatch) -> tuple[LearnerState, Metrics]:
        """One real update (A2C, "discard") or K of them ("online"), and with MGRL one meta-update.

        Args:
            state: as `init` or the last update returned it; it is not changed.
            next_batch: acts with the policy that it is given, going on where it stopped; called once for each batch,
                in turn: inner batches with π_{θ⁰} … π_{θ^{K−1}}, then the outer batch with π_{θ^K}.

        Returns:
            The next state, and numbers to log: counters, rate, losses, γ, λ and coefficients after the update; with
            MGRL the outer loss and the meta-gradient.
        """
        drawn = _Experience(self, state, next_batch)
        lr = linear_decay(self.settings.inner_lr, state.env_steps, self.settings.total_steps)
        phi = state.phi.detach().requires_grad_(self.settings.is_meta)
        start, reports = Inner(state.parameters, state.optimiser), []
        inner = start
        for _ in range(self.settings.n_inner if self.settings.is_meta else 1):
            batch, seen = drawn(inner.moving)
            inner, loss, norm = self.inner_update(inner, batch, phi, lr, self.settings.is_meta, seen)
            reports.append((loss, norm))
        meta: Metrics = {}
        if self.settings.is_meta:
            state, meta = self._meta_step(state, phi, inner.parameters, *drawn(inner.parameters))
            if self.settings.strategy == "discard":
                batch, seen = drawn.all[0]
                inner, loss, norm = self.inner_update(start, batch, state.phi, lr, seen=seen)
                reports = [(loss, norm)]
        state = replace(
            state,
            parameters=detach(inner.parameters),
            optimiser=inner.optimiser.detach(),
            env_steps=state.env_steps + drawn.steps,
            updates=state.updates + len(reports),
            generator=drawn.generator.get_state(),
            pending=drawn.all[-1][0] if self.settings.is_meta and self.settings.strategy == "online" else None,
        )
        return state, _counters(state, lr) | _losses(reports) | meta | _named("", state.phi.sigmoid())

    def _meta_step(
        self, state: LearnerState, phi: Tensor, parameters: Parameters, outer: Batch, seen: Seen | None
    ) -> tuple[LearnerState, Metrics]:
        """φ after one step of its Adam down the outer loss at θ^K, whose graph leads to `phi`."""
        loss = self.inner_update.loss.outer(parameters, outer, Hyper.of(self.reference_phi), seen)
        (gradient,) = torch.autograd.grad(loss, phi)
        moved, meta_optimiser = self.meta_optimiser.step(
            {"phi": state.phi}, {"phi": gradient}, state.meta_optimiser, self.settings.meta_lr
        )
        new = replace(state, phi=moved["phi"], meta_optimiser=meta_optimiser, meta_updates=state.meta_updates + 1)
        return new, {"outer_loss": loss.item()} | _named("meta_gradient_", gradient)


class _Experience:
    """The batches of one update, drawn one after another, and what they cost."""

    def __init__(self, learner: Learner, state: LearnerState, next_batch: NextBatch) -> None:
        self._learner, self._next_batch, self._pending = learner, next_batch, state.pending
        self.generator = torch.Generator()
        self.generator.set_state(state.generator)
        self.all: list[tuple[Batch, Seen | None]] = []
        self.steps = 0

    def __call__(self, parameters: Parameters) -> tuple[Batch, Seen | None]:
        """The pending batch if there is one, else a new one by the policy of `parameters` and what it has seen."""
        if self._pending is None:
            seen = Seen(parameters, [])
            batch = self._next_batch(partial(self._act, seen))
            self.steps += batch.size
        else:
            (batch, self._pending), seen = (self._pending, None), None
        self.all.append((batch.to(self._learner.device), seen))
        return self.all[-1]

    def _act(self, seen: Seen, observations: Tensor) -> Tensor:
        """Actions, and the features that the loss goes on from."""
        there = observations.to(self._learner.device)
        seen.features.append(self._learner.network.features(seen.parameters, there))
        actions = self._learner.choose(seen.parameters, seen.features[-1], self.generator)
        return actions.to(observations.device)


def _counters(state: LearnerState, lr: float) -> Metrics:
    names = ("env_steps", "updates", "meta_updates")
    return {name: getattr(state, name) for name in names} | {"lr": lr}


def _losses(reports: list[tuple[Loss, Tensor]]) -> Metrics:
    """Means over the inner updates."""
    rows = torch.stack([torch.stack([loss.policy, loss.value, loss.entropy, norm]) for loss, norm in reports])
    names = ("policy_loss", "value_loss", "entropy", "gradient_norm")
    return dict(zip(names, rows.detach().mean(0).tolist()))


def _named(prefix: str, values: Tensor) -> Metrics:
    """One entry for each meta-parameter."""
    return dict(zip((prefix + name for name in META_PARAMETERS), values.tolist()))
