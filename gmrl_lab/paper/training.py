"""What does the bias cost? Meta-training with each estimator and with the exact meta-gradient (Eq. 11)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab._validate import check_choice, check_positive, check_whole
from gmrl_lab.learners.adam import Adam
from gmrl_lab.meta import EXACT
from gmrl_lab.oracles import Oracle
from gmrl_lab.paper.cells import ESTIMATORS, Row, mdps, sampled
from gmrl_lab.paper.settings import Table2

ALGORITHMS = ("MAML", "LIRPG")
TOGETHER = 100
"""Meta-parameters whose return is computed in one batch."""
BIAS_ALONE = "expected "
"""Before an estimator's name: all is exact but the Hessian, which is what the estimator gives on average."""


@dataclass(frozen=True)
class Training:
    """100 steps of Adam on φ, from φ = 0; every estimate from the same few trajectories (SSS).

    MAML learns one φ for all MDPs, from the mean of their meta-gradients. LIRPG learns a reward for each MDP; its
    policy starts anew at θ⁰ = 0 in each outer step, so that J^K(φ) is one well-defined objective.

    Raises:
        ValueError: naming the field, for a value out of range.

    Taught in lesson 10.
    """

    algorithm: str = "MAML"
    """"MAML" or "LIRPG"."""
    estimator: str = "LVC"
    """Of all three parts; "exact" for the exact meta-gradient; "expected AD" for AD's bias alone, without a sample."""
    n_trajectories: int = 16
    """|τ|."""
    n_outer_steps: int = 100
    """Updates of φ."""
    outer_lr: float = 0.1
    """Adam's step size."""
    n_runs: int = 10
    """Independent runs, in one batch."""

    def __post_init__(self) -> None:
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        check_choice("estimator", self.estimator, ("exact", *ESTIMATORS, *(BIAS_ALONE + name for name in ESTIMATORS)))
        for name in ("n_trajectories", "n_outer_steps", "n_runs"):
            check_whole(name, getattr(self, name), 1)
        check_positive("outer_lr", self.outer_lr)


def train(training: Training, table: Table2, seed: int) -> Tensor:
    """J^K(φ), exact, before each outer step and after the last: `(n_outer_steps + 1, n_runs)`, the mean over MDPs."""
    passed = list(_passed(training, table, seed))
    at_once = max(1, TOGETHER // training.n_runs)
    parts = (torch.stack(passed[first : first + at_once]) for first in range(0, len(passed), at_once))
    reached = [_reached(training, table, part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in parts]
    return torch.cat(reached)


def training_steps(training: Training, table: Table2, seed: int) -> Iterator[Tensor]:
    """The rows of `train`, each as soon as it is known."""
    return (_reached(training, table, phi) for phi in _passed(training, table, seed))


def _passed(training: Training, table: Table2, seed: int) -> Iterator[Tensor]:
    """φ before each outer step and after the last, `(n_runs, 1 or n_mdps, S, A)`."""
    task, own = _task(training, table), training.algorithm == "MAML"
    phi = torch.zeros(training.n_runs, 1 if own else table.n_mdps, *task.phi_shape, dtype=torch.float64)
    oracles = _oracles(training, table)
    generators = gl.generators(seed, training.n_runs)
    adam = Adam(phi, training.outer_lr)
    yield phi
    for _ in range(training.n_outer_steps):
        found = gl.meta_gradient(task, phi, table.n_inner_steps, table.inner_lr, *oracles, generator=generators)
        phi = phi - adam.step(found.mean(1, keepdim=True) if own else found)
        yield phi


def meta_training(
    *,
    algorithm: str,
    estimator: str,
    n_trajectories: int,
    n_outer_steps: int,
    outer_lr: float,
    n_runs: int,
    seed: int,
    **table2: float | str,
) -> list[Row]:
    """`train` as a cell of a sweep: a row for each run and outer step."""
    training = Training(algorithm, estimator, n_trajectories, n_outer_steps, outer_lr, n_runs)
    reached = train(training, Table2(**table2), seed)  # type: ignore[arg-type]
    return [
        {"outer_step": step, "run": run, "meta_objective": value}
        for step, row in enumerate(reached.tolist())
        for run, value in enumerate(row)
    ]


def _oracles(training: Training, table: Table2) -> tuple[Oracle, Oracle, Oracle]:
    """Of the inner update, the Hessian and the outer gradient."""
    if training.estimator == "exact":
        return EXACT, EXACT, EXACT
    name = training.estimator.removeprefix(BIAS_ALONE)
    if name == training.estimator:
        oracle = sampled(table, name, training.n_trajectories)
        return oracle, oracle, oracle
    return EXACT, gl.Expected(ESTIMATORS[name], table.horizon, baseline=gl.Baseline(0.0)), EXACT  # type: ignore[arg-type]


def _task(training: Training, table: Table2) -> gl.Task:
    if training.algorithm == "MAML":
        return gl.MAML(mdps(table))
    return gl.LIRPG(mdps(table), torch.zeros(table.n_states, table.n_actions, dtype=torch.float64))


def _reached(training: Training, table: Table2, phi: Tensor) -> Tensor:
    """J^K(φ) for each φ, `(n,)`: K exact steps, then the exact return."""
    task = _task(training, table)
    batch = (phi.shape[0], task.batch_shape[0])
    theta = task.theta_0(phi).expand(*batch, *task.theta_shape).clone().requires_grad_()
    for _ in range(table.n_inner_steps):
        theta = (theta + table.inner_lr * task.inner_update(phi, theta, EXACT)).detach().requires_grad_()
    return EXACT.surrogate(task.outer(phi, theta.detach())).mean(1)
