"""Old samples for new steps: inner step k also learns from the trajectories of the steps before it (Section 4.4)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_choice, check_whole
from gmrl_lab.oracles import Sampled
from gmrl_lab.problem import Problem
from gmrl_lab.rollout import Trajectories, log_prob, sample
from gmrl_lab.seeding import Generators, Streams

WEIGHTINGS = ("mixture", "own")


@dataclass(frozen=True, eq=False)
class Reused:
    """`Sampled`, but each inner step adds the trajectories of all steps before it, weighted by importance ratios.

    Step k has n fresh trajectories and k n old ones, of policies π_0 … π_{k−1}. Weighting "own" takes the ratio of an
    old one against the policy that drew it; "mixture" against the mean of all policies so far, itself a policy (one
    that remembers), so that the ratio is at most k + 1 whatever happened (balance heuristic, Veach & Guibas 1995).

    For a *given* θ both are unbiased with an estimator that is right off-policy, DiCE or Loaded DiCE. Along a path they
    are not: θ̂ᵏ was made from the old samples and fits them better than new ones, and the errors of the steps, though
    each smaller, no longer cancel. Where nothing curves, K steps of variance σ²/n add up to K σ²/n with fresh samples
    and to (2K − H_K) σ²/n with reused ones, H_K = Σ_k 1/k: more, not less. Where the steps are large and the objective
    levels off, the smaller error of each step wins. A large buffer from before the first step helps in both.

    Args:
        sampled: estimator, n, horizon, baseline and clip of each step; without stored trajectories.
        weighting: "mixture" or "own".
        buffer: trajectories of the first policy that are drawn before the first step and used in all.

    `gl.meta_gradient` asks for a `begin()` of its own at each call, so that the oracle itself never changes.

    Raises:
        ValueError: for stored trajectories, an unknown weighting, or a negative buffer.

    Taught in lesson 04.
    """

    sampled: Sampled
    weighting: str = "mixture"
    buffer: int = 0
    is_random = True

    def __post_init__(self) -> None:
        check_choice("weighting", self.weighting, WEIGHTINGS)
        check_whole("buffer", self.buffer, 0)
        if self.sampled.trajectories is not None:
            raise bad("sampled", "stored trajectories", "fresh ones, which become old in the next step")

    def begin(self) -> "ReusedRun":
        """One inner loop's memory, empty."""
        return ReusedRun(self)

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """That of a first step, which has nothing to reuse, `(...)`."""
        return self.begin().surrogate(problem, generator)


class ReusedRun:
    """The oracle of one inner loop: it remembers what each of its steps has drawn, and from which policy.

    `effective_sizes` has, for each step, how many fresh trajectories its weighted ones are worth, `(...)`.
    """

    is_random = True

    def __init__(self, oracle: Reused) -> None:
        self.oracle = oracle
        self._seen: list[Trajectories] = []
        self._policies: list[Tensor] = []
        self.effective_sizes: list[Tensor] = []

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """The surrogate on fresh and all older trajectories, `(...)`."""
        streams, own = Streams.of(generator, "Reused"), self.oracle.sampled
        n = own.n_trajectories + (0 if self._seen else self.oracle.buffer)
        fresh = sample(problem.mdp, problem.logits.detach(), n, own.horizon, generator=streams.rollout)
        return self.surrogate_with(fresh, problem, streams)

    def surrogate_with(self, fresh: Trajectories, problem: Problem, streams: Streams | None = None) -> Tensor:
        """The surrogate where these are the fresh trajectories of this step, `(...)`."""
        logits = problem.logits.detach()
        self._seen.append(fresh)
        self._policies.append(logits)
        pool = pooled(self._seen, self._policies, self.oracle.weighting)
        current = log_prob(logits, pool.states, pool.actions)
        self.effective_sizes.append(effective_sample_size((current - pool.behaviour_log_prob).sum(-1)))
        stored = replace(self.oracle.sampled, n_trajectories=pool.n_trajectories, trajectories=pool)
        return stored.surrogate(problem, streams)


def pooled(seen: list[Trajectories], policies: list[Tensor], weighting: str = "mixture") -> Trajectories:
    """Trajectories of several policies as those of one behaviour, with its log-probabilities.

        mixture:  log μ_t = log Σ_j n_j π_j(τ_{0:t}) − log Σ_j n_j π_j(τ_{0:t−1})
        own:      log μ_t = log π_j(a_t|s_t) of the policy that drew τ

    Args:
        seen: trajectories of each policy, n_j of each, of the same T.
        policies: their logits, `(..., S, A)` each.
        weighting: "mixture" or "own".

    Raises:
        ValueError: for an unknown weighting.

    Taught in lesson 04.
    """
    check_choice("weighting", weighting, WEIGHTINGS)
    states, actions = (torch.cat([getattr(part, name) for part in seen], -2) for name in ("states", "actions"))
    if weighting == "own" or len(seen) == 1:
        return Trajectories(states, actions, torch.cat([part.behaviour_log_prob for part in seen], -2))
    shares = [math.log(part.n_trajectories / states.shape[-2]) for part in seen]
    along = [log_prob(theta, states, actions).cumsum(-1) + share for theta, share in zip(policies, shares, strict=True)]
    mixed = torch.stack(along).logsumexp(0)
    before = torch.nn.functional.pad(mixed[..., :-1], (1, 0))
    return Trajectories(states, actions, mixed - before)


def effective_sample_size(log_ratio: Tensor) -> Tensor:
    """How many unweighted samples n weighted ones are worth, by Kong (1992): (Σw)² / Σw², `(...)`.

    Args:
        log_ratio: log w of each sample, `(..., n)`; a common factor does not matter.

    Returns:
        Between 1 and n; n where all weights are the same.

    Raises:
        ValueError: for no samples.

    Taught in lesson 04.
    """
    if log_ratio.ndim == 0 or log_ratio.shape[-1] == 0:
        raise bad("log_ratio", f"shape {tuple(log_ratio.shape)}", "shape (..., n) with n >= 1")
    return (2 * log_ratio.logsumexp(-1) - (2 * log_ratio).logsumexp(-1)).exp()
