"""Table 2 of the paper as a frozen dataclass, and the three scales at which its experiments run."""

from dataclasses import dataclass

from gmrl_lab._validate import bad, check_choice, check_interval, check_positive, check_whole


@dataclass(frozen=True)
class Table2:
    """The tabular experiments' settings; the defaults are the paper's.

    Raises:
        ValueError: naming the field, for a value out of range.

    Taught in lesson 08.
    """

    horizon: int = 20
    """T, steps per trajectory."""
    discount: float = 0.8
    """γ."""
    inner_lr: float = 10.0
    """α, size of an inner step."""
    n_inner_steps: int = 1
    """K."""
    n_mdps: int = 10
    """Random MDPs; number i is drawn with seed i."""
    n_trials: int = 20
    """Repeated estimates per MDP and point."""
    n_states: int = 20
    """S."""
    n_actions: int = 5
    """A."""
    value_noise: float = 1.0
    """Coefficient of the noise on V̂, in units of ‖V‖₂/S."""
    concentration: float = 0.001
    """Of the Dirichlet that draws transitions; small is nearly deterministic."""
    noise_per: str = "call"
    """One draw of the value noise for each "call" (published) or "trajectory"."""

    def __post_init__(self) -> None:
        for name in ("horizon", "n_mdps", "n_states", "n_actions"):
            check_whole(name, getattr(self, name), 1)
        check_whole("n_inner_steps", self.n_inner_steps, 0)
        check_whole("n_trials", self.n_trials, 3)
        check_interval("discount", self.discount, 0.0, 1.0, open_high=True)
        check_interval("value_noise", self.value_noise, 0.0, 1e6)
        check_positive("inner_lr", self.inner_lr)
        check_positive("concentration", self.concentration)
        check_choice("noise_per", self.noise_per, ("call", "trajectory"))
        for name in ("discount", "inner_lr", "value_noise", "concentration"):  # 10 and 10.0 are the same experiment
            object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True)
class Scale:
    """How much of an experiment is run: its repetitions, and which points of its axes.

    Raises:
        ValueError: naming the field, for a number out of range or an axis without points.

    Taught in lesson 08.
    """

    name: str
    n_mdps: int
    n_trials: int
    sample_sizes: tuple[int, ...]
    inner_steps: tuple[int, ...]
    inner_lrs: tuple[float, ...]
    curvatures: tuple[float, ...]
    bias_trials: int
    outer_steps: int
    n_runs: int = 20
    """Of the settings of LOLA that decide a verdict by a share; half as many of the others."""
    n_updates: int = 500
    """Meta-updates of LOLA."""
    batches: tuple[int, int] = (128, 1024)
    """LOLA's trajectories, few and many."""

    def __post_init__(self) -> None:
        least = {"n_mdps": 1, "n_trials": 3, "bias_trials": 3, "outer_steps": 1, "n_runs": 2, "n_updates": 1}
        for name, lowest in least.items():
            check_whole(name, getattr(self, name), lowest)
        for name in ("sample_sizes", "inner_steps", "inner_lrs", "curvatures", "batches"):
            if not getattr(self, name):
                raise bad(name, "no points", "at least one")
            for value in getattr(self, name):
                check_positive(name, value)


_SIZES, _STEPS, _LRS = (2, 4, 8, 16, 32, 64, 128, 256), (1, 2, 3, 4, 5, 6), (1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0)
_CURVATURES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)

SCALES = {
    scale.name: scale
    for scale in (
        Scale("paper", 10, 20, _SIZES, _STEPS, _LRS, _CURVATURES, 1000, 100),
        Scale("class", 5, 10, _SIZES[::2], _STEPS[::2], _LRS[::2], _CURVATURES[::2], 200, 50, 8, 200, (64, 512)),
        Scale("ci", 2, 5, (4, 32), (1, 3), (1.0, 7.0), (0.5, 4.0), 20, 4, 4, 10, (8, 32)),
    )
}
"""By name: "paper" as published, "class" for a room that waits, "ci" to see that it runs."""
