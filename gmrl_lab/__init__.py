"""gmrl_lab: how wrong are the gradients of gradient-based meta-reinforcement learning, and why?

`import gmrl_lab as gl` gives the core, which needs NumPy and PyTorch alone. `gl.explorers`, `gl.plots`, `gl.checks`,
`gl.paper`, `gl.predictions`, `gl.statements` and `gl.bench_estimator` load when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmrl_lab import assumptions, bounds, exact, targets
from gmrl_lab.curvature import estimated_hessian
from gmrl_lab.estimators import AD, LVC, DiCE, Estimator, LoadedDiCE, TayPO2
from gmrl_lab.games import IPD, MatrixGame
from gmrl_lab.mdp import TabularMDP, random_mdp
from gmrl_lab.meta import ProductTerms, meta_gradient, meta_gradient_by_product
from gmrl_lab.metrics import accuracy, bias, covariance_trace, mse_split, sum_of_std
from gmrl_lab.oracles import Exact, Expected, Perturbed, Sampled
from gmrl_lab.paths import inner_path
from gmrl_lab.problem import Baseline, Problem
from gmrl_lab.reuse import Reused
from gmrl_lab.rollout import Trajectories, enumerate_samples, sample
from gmrl_lab.seeding import generators
from gmrl_lab.steps import Steps
from gmrl_lab.tasks import LIRPG, LOLA, LPG, MAML, MGRL, Task

if TYPE_CHECKING:
    from gmrl_lab import checks, explorers, paper, plots, predictions, statements
    from gmrl_lab.bench import bench_estimator

__version__ = "0.1.0"

_LAZY = ("checks", "explorers", "paper", "plots", "predictions", "statements")

__all__ = [
    "AD",
    "IPD",
    "LIRPG",
    "LOLA",
    "LPG",
    "LVC",
    "MAML",
    "MGRL",
    "Baseline",
    "DiCE",
    "Estimator",
    "Exact",
    "Expected",
    "LoadedDiCE",
    "MatrixGame",
    "Perturbed",
    "Problem",
    "ProductTerms",
    "Reused",
    "Sampled",
    "Steps",
    "TabularMDP",
    "Task",
    "TayPO2",
    "Trajectories",
    "accuracy",
    "assumptions",
    "bench_estimator",
    "bias",
    "bounds",
    "checks",
    "covariance_trace",
    "enumerate_samples",
    "estimated_hessian",
    "exact",
    "explorers",
    "generators",
    "inner_path",
    "meta_gradient",
    "meta_gradient_by_product",
    "mse_split",
    "paper",
    "plots",
    "predictions",
    "random_mdp",
    "sample",
    "statements",
    "sum_of_std",
    "targets",
]


def __getattr__(name: str) -> Any:
    """Load the parts that need Jupyter, Plotly or pandas only when they are used (PEP 562)."""
    if name in _LAZY:
        return import_module(f"gmrl_lab.{name}")
    if name == "bench_estimator":
        return import_module("gmrl_lab.bench").bench_estimator
    raise AttributeError(f"module 'gmrl_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
