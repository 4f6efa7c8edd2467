"""Table 3 of the paper as a frozen dataclass: everything that a run of opponent shaping depends on, but the seed."""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from gmrl_lab._validate import bad, check_choice, check_interval, check_positive, check_whole
from gmrl_lab.estimators import DiCE, Estimator, LoadedDiCE
from gmrl_lab.games import GAMES
from gmrl_lab.meta import ROLES

LEARNERS = ("lola", "naive")
SOURCES = ("exact", "on", "off")
"""Where a part of the meta-gradient comes from: the true value, fresh trajectories, or stored ones."""
ESTIMATORS: dict[str, Estimator] = {
    "DiCE": DiCE("first order"),
    "any-order DiCE": DiCE("any order"),
    "Loaded DiCE": LoadedDiCE(),
}
BASELINES = {"return": "average", "reward": "adam", "none": ""}
"""What the value table is fitted to, and by which rule of `FittedValues`."""
DTYPES = {"float64": torch.float64, "float32": torch.float32}
_CHOICES: dict[str, Collection[str]] = {
    "game": GAMES,
    "learner": LEARNERS,
    **dict.fromkeys(ROLES, SOURCES),
    "estimator": ESTIMATORS,
    "baseline": BASELINES,
    "dtype": DTYPES,
}


@dataclass(frozen=True)
class LOLASettings:
    """Opponent shaping on a repeated matrix game; the defaults are the paper's Table 3.

    Raises:
        ValueError: naming the field, for a value out of range or an unknown name.

    Taught in lessons 11 and 12.
    """

    game: str = "ipd"
    """A name in `gmrl_lab.games.GAMES`."""
    learner: str = "lola"
    """"lola", or "naive": gradient ascent on the own value, as if the other never learned."""
    n_updates: int = 500
    """Meta-updates."""
    outer_lr: float = 0.1
    """Adam's step size for the policies."""
    inner_lr: float = 0.3
    """α, size of the opponent's imagined gradient step (SGD)."""
    discount: float = 0.96
    """γ."""
    horizon: int = 100
    """T, steps per trajectory."""
    n_inner_steps: int = 1
    """K, look-ahead steps of the opponent."""
    inner: str = "on"
    """Source of the look-ahead's value (the "compositional" part): "exact", "on"- or "off"-policy."""
    hessian: str = "on"
    """Source of the look-ahead's derivative. The paper says Hessian; at K = 1 it is the mixed derivative ∇_φ∇_θ V²."""
    outer: str = "on"
    """Source of the outer gradient."""
    n_inner: int = 128
    """Trajectories for the look-ahead's value; off-policy, how many stored ones (published: the whole buffer)."""
    n_hessian: int = 128
    """Trajectories for its derivative, likewise."""
    n_outer: int = 128
    """Trajectories for the outer gradient, likewise. The value baseline is fitted to as many fresh ones."""
    share_samples: bool = False
    """One sample for the look-ahead's value and derivative (published for Figure 3(a)), or a fresh one for each."""
    buffer_size: int = 1024
    """Plays of the current and past policies that are kept where a source is "off"; at first, of the initial ones.

    They are plays at θ⁰, of the two who learn; at K > 1 the later look-ahead steps reweight the same ones to θᵏ.
    """
    n_fresh: int = 256
    """Plays that join the buffer in an update, for each source that is "off" (published: 128 by each player)."""
    estimator: str = "DiCE"
    """"DiCE" with its published baseline term, "any-order DiCE", or "Loaded DiCE", which bootstraps too."""
    baseline: str = "return"
    """What the value table is fitted to: the "return" or, as published, the immediate "reward"; "none" for zeros."""
    value_lr: float = 0.1
    """Of the fit: how far the table moves to the mean return, or Adam's step size for the reward."""
    clip: float | None = None
    """Cap on each step's off-policy weight π/μ; None for none."""
    initial_sd: float = 0.0
    """Standard deviation of the initial logits. The published 0 starts each run from two coin-throwers."""
    dtype: str = "float64"
    """"float64", or "float32" for half the memory traffic."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), tuple(choices))
        for name in ("n_updates", "horizon", "n_inner_steps", "n_inner", "n_hessian", "n_outer", "n_fresh"):
            check_whole(name, getattr(self, name), 1)
        used = [max(self.n_fresh, getattr(self, f"n_{role}")) for role in self.roles if getattr(self, role) == "off"]
        check_whole("buffer_size", self.buffer_size, max([1, *used]))
        for name in ("outer_lr", "inner_lr"):
            check_positive(name, getattr(self, name))
        check_interval("value_lr", self.value_lr, 0.0, 1.0, open_low=True)
        check_interval("discount", self.discount, 0.0, 1.0, open_high=True)
        check_interval("initial_sd", self.initial_sd, 0.0, 1e6)
        if self.clip is not None:
            check_positive("clip", self.clip)
        if self.share_samples and (self.inner, self.n_inner) != (self.hessian, self.n_hessian):
            raise bad("share_samples", True, "False, unless inner and hessian have the same source and size")

    @property
    def roles(self) -> tuple[str, ...]:
        """The parts of the meta-gradient that this learner has."""
        return ROLES if self.learner == "lola" else ROLES[-1:]
