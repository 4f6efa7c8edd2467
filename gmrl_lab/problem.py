"""What an oracle is asked about: an MDP with a policy, and the value table that stands in for its true values."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._validate import bad, check_choice, check_finite, check_like, check_trailing, check_whole
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.seeding import Generators, check_generator, normal


@dataclass(frozen=True, eq=False)
class Problem:
    """A tabular MDP with a softmax policy, either of which may depend on meta-parameters.

    Args:
        mdp: its rewards and discount may carry φ.
        logits: `(..., S, A)`, may carry φ and θ.
        gae_lambda: λ of the advantage, `(...)`, in place of the oracle's; may carry φ (MGRL). None leaves it to the
            oracle.
        fixed_weights: whether the weights γᵗ of the time steps are held fixed where γ carries φ, so that only the
            return is differentiated (MGRL's "return" derivative).

    Taught in lesson 02.
    """

    mdp: TabularMDP
    logits: Tensor
    gae_lambda: Tensor | None = None
    fixed_weights: bool = False


@dataclass(frozen=True)
class Baseline:
    """The value table V̂ that estimators use as baseline and bootstrap: the exact values plus noise.

        V̂ = V + noise · ε · ‖V‖₂ / S,   ε ~ N(0, 1) for each state

    Args:
        noise: the coefficient, ≥ 0; 1 in the paper's Table 2.
        per: "call" draws ε once per call, for all its trajectories (as published); "trajectory" once for each.
        seed: None redraws ε at every call; an integer fixes ε, the same at each call and in each trial.

    Raises:
        ValueError: for a negative or infinite noise, an unknown `per`, a negative seed.

    Taught in lesson 02.
    """

    noise: float = 1.0
    per: str = "call"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float("inf"):
            raise bad("noise", self.noise, "a finite number >= 0")
        check_choice("per", self.per, ("call", "trajectory"))
        if self.seed is not None:
            check_whole("seed", self.seed, 0)

    @property
    def is_random(self) -> bool:
        """Whether drawing ε needs a generator."""
        return self.noise > 0 and self.seed is None

    def values(self, problem: Problem, generator: Generators | None, n_trajectories: int = 1) -> Tensor:
        """V̂ of the current policy, `(..., 1 or n, S)`; it carries φ, never θ, and no φ through the noise."""
        exactly = self._without_noise(problem)
        if self.noise == 0:
            return exactly.unsqueeze(-2)
        rows = 1 if self.per == "call" else n_trajectories
        shape = (*exactly.shape[:-1], rows, exactly.shape[-1])
        norm: Tensor = torch.linalg.vector_norm(exactly.detach(), dim=-1)
        scale = self.noise * norm / exactly.shape[-1]
        return exactly.unsqueeze(-2) + scale[..., None, None] * self._draw(shape, generator, exactly)

    def _without_noise(self, problem: Problem) -> Tensor:
        return exact.value(problem.mdp, problem.logits.detach())

    def _draw(self, shape: tuple[int, ...], generator: Generators | None, like: Tensor) -> Tensor:
        if self.seed is not None:
            fixed = torch.Generator(like.device).manual_seed(self.seed)
            return normal(shape[-2:], fixed, like).expand(shape)
        if generator is None:
            raise bad("generator", None, "a torch.Generator (or one per trial): Baseline noise draws random numbers")
        check_generator(generator, like.device, shape[0] if len(shape) > 2 else None)
        return normal(shape, generator, like)


@dataclass(frozen=True, eq=False)
class ValueTable(Baseline):
    """A given table as V̂, in place of the exact values: one that was fitted to samples.

    Args:
        table: V̂ of each state, `(..., S)`, by name.
        noise, per, seed: as for `Baseline`; no noise by default.

    Raises:
        ValueError: if the table is not finite, or, when it is used, does not fit the problem.

    Taught in lesson 12.
    """

    noise: float = 0.0
    table: Tensor = field(kw_only=True)
    __eq__, __hash__ = object.__eq__, object.__hash__  # Baseline's would not look at the table

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite("table", self.table)

    def _without_noise(self, problem: Problem) -> Tensor:
        check_trailing("table", self.table, (problem.mdp.n_states,))
        check_like("table", self.table, "the MDP", problem.mdp.transitions)
        return self.table


PAPER_BASELINE = Baseline()
"""The paper's: noise of coefficient 1, drawn once per call."""
