"""Bring your own estimator: what it is, against what it claims to be.

Its bias by `bench_bias`, its cost beside AD's, the meta-gradients that it gives beside those of known estimators, and
all of it as a `Report`.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gmrl_lab._validate import bad, check_choice, check_whole
from gmrl_lab.bench_bias import (
    HORIZON,
    N_TRAJECTORIES,
    ORDERS,
    derivatives,
    gap,
    sample_test,
    target,
    terminal_values,
    tiny_problems,
)
from gmrl_lab.bench_report import ROUNDING, Finding, Report, SweepPoint
from gmrl_lab.estimators import AD, LVC, Estimator, ExpectedEstimator, LoadedDiCE
from gmrl_lab.mdp import random_mdp
from gmrl_lab.meta import ROLES, meta_gradient
from gmrl_lab.metrics import accuracy, bias
from gmrl_lab.oracles import Exact, Expected, Sampled
from gmrl_lab.problem import Baseline, Problem
from gmrl_lab.seeding import generators
from gmrl_lab.tasks import MAML

QUANTITIES = ("first", "second", "first off-policy", "second off-policy")
EXACT_VALUES = Baseline(noise=0.0)
RIVALS: tuple[Estimator, ...] = (AD(), LVC(), LoadedDiCE())

Tick = Callable[[], object]


@dataclass(frozen=True)
class Scale:
    """How much work a report is: trials of the sampled test and of each point, the points, repeats of the timing."""

    n_trials: int
    sweep_trials: int
    n_inner_steps: tuple[int, ...]
    inner_lr: tuple[float, ...]
    n_trajectories: tuple[int, ...]
    repeats: int


SCALES = {
    "quick": Scale(80, 20, (1, 3), (1.0, 10.0), (8, 64), 5),
    "default": Scale(800, 300, (1, 2, 3, 4), (1.0, 3.0, 10.0, 30.0), (4, 16, 64, 256), 15),
}


def bench_estimator(
    estimator: Estimator,
    claim: str | Mapping[str, str] = "unbiased",
    *,
    scale: str = "default",
    seed: int = 0,
    baseline: Baseline = EXACT_VALUES,
    bootstrap: bool | None = None,
    parts: str = "ESE",
    name: str | None = None,
    progress: bool = True,
) -> Report:
    """Measure an estimator's bias, variance and cost, and judge what it claims.

        ‖E ∇L − ∇J_T‖ / ‖∇J_T‖   and   ‖E ∇²L − ∇²J_T‖ / ‖∇²J_T‖

    exactly, over all samples of tiny MDPs, and on the paper's MDP where `expected_surrogate` is right; and by samples
    on the paper's MDP, where the mean error of one half of the trials is the direction that the other half tests.

    Args:
        estimator: any object with `surrogate(steps)`; `expected_surrogate`, if it has one, is checked and used.
        claim: "unbiased" or "biased", of gradient and Hessian on-policy; or a mapping to these from some of "first",
            "second", "first off-policy", "second off-policy".
        scale: "default" (some 10 s on one core) or "quick" (2 s).
        seed: of all random numbers.
        baseline: V̂ on the paper's MDP; exact values by default. The tiny MDPs have an inexact one.
        bootstrap: whether the T-step target ends in V̂(s_T); None asks the estimator's `bootstraps`, else its
            `uses_baseline`, else yes.
        parts: of the sweep's meta-gradient, E or S for each of inner, Hessian, outer. "ESE" shows the Hessian alone.
        name: for the report; the name of the class by default.
        progress: show a bar for work of more than two seconds, where tqdm is installed.

    Returns:
        A `Report`: a page in a notebook, text elsewhere; `to_csv`, `to_json`, `figure`. Its `confirmed` says whether
        every claim holds.

    Raises:
        ValueError: for an unknown claim, scale or part; a surrogate that has another shape than `(...)`, is not
            finite, or has no graph to the policy.

    Taught in lesson 05.
    """
    claims = _claims(claim)
    _check(estimator, scale, seed, parts)
    size, label = SCALES[scale], _label(estimator, name)
    known = getattr(estimator, "bootstraps", getattr(estimator, "uses_baseline", True))
    ends = known if bootstrap is None else bootstrap
    with _progress(_work(size), label, progress) as tick:
        enumerated, error = _enumerate(estimator, ends, tick)
        numbers = _on_the_papers_mdp(estimator, baseline, ends, size.n_trials, seed, error, tick)
        seconds = _cost(estimator, baseline, size.repeats, seed, tick)
        sweep = tuple(_sweep(label, estimator, baseline, parts, size, seed, tick))
    findings = tuple(Finding(q, claims.get(q), *enumerated[q], **numbers.get(q, {})) for q in QUANTITIES)
    settings = {
        "scale": scale,
        **asdict(size),
        "seed": seed,
        "noise": baseline.noise,
        "bootstrap": ends,
        "parts": parts,
    }
    return Report(label, settings, findings, error, *seconds, sweep)


def _label(estimator: Estimator, name: str | None) -> str:
    """Its name, told apart from another estimator of that name in the sweep."""
    own = name or type(estimator).__name__
    return f"{own} (yours)" if own in {type(known).__name__ for known in RIVALS if known != estimator} else own


def _claims(claim: str | Mapping[str, str]) -> dict[str, str]:
    claims = dict.fromkeys(ORDERS, claim) if isinstance(claim, str) else dict(claim)
    for quantity, what in claims.items():
        check_choice("claim", quantity, QUANTITIES)
        check_choice("claim", what, ("unbiased", "biased"))
    return claims


def _check(estimator: object, scale: str, seed: int, parts: str) -> None:
    if isinstance(estimator, type) or not callable(getattr(estimator, "surrogate", None)):
        raise bad("estimator", repr(estimator), "an object (not a class) with a method surrogate(steps)")
    check_choice("scale", scale, tuple(SCALES))
    check_whole("seed", seed, 0)
    if len(parts) != len(ROLES) or set(parts) - set("ES"):
        raise bad("parts", repr(parts), 'three letters, E or S, as "ESE"')


def _enumerate(
    estimator: Estimator, bootstrap: bool, tick: Tick
) -> tuple[dict[str, tuple[float, float]], float | None]:
    """Relative bias of each derivative, the tiny MDPs taken together, against the target and that with the other end;
    and the largest relative error of `expected_surrogate`, None without one."""
    squares = {quantity: torch.zeros(2, 2, dtype=torch.float64) for quantity in QUANTITIES}
    errors = []
    for suffix, tiny in tiny_problems():
        found = tiny.mean(estimator)
        for order in ORDERS:
            squares[order + suffix] += torch.stack(
                [tiny.squares(found, order, end) for end in (bootstrap, not bootstrap)]
            )
        if isinstance(estimator, ExpectedEstimator):
            errors.append(tiny.closed_form_error(estimator, found))
        tick()
    biases = {name: (sums[:, 0] / sums[:, 1]).sqrt().tolist() for name, sums in squares.items()}
    return {name: (here, other) for name, (here, other) in biases.items()}, max(errors, default=None)


def _on_the_papers_mdp(
    estimator: Estimator, baseline: Baseline, bootstrap: bool, n_trials: int, seed: int, error: float | None, tick: Tick
) -> dict[str, dict[str, float]]:
    mdp = random_mdp(seed=0)
    theta = torch.zeros(mdp.n_states, mdp.n_actions, dtype=mdp.dtype)
    found = sample_test(estimator, mdp, baseline, bootstrap, n_trials, seed)
    numbers = {order: tested._asdict() for order, tested in found.items()}
    if isinstance(estimator, ExpectedEstimator) and error is not None and error <= ROUNDING and not baseline.is_random:
        oracle = Expected(estimator, HORIZON, baseline=baseline)
        mean = derivatives(lambda leaf: oracle.surrogate(Problem(mdp, leaf)), theta)
        truth = target(mdp, theta, HORIZON, terminal_values(mdp, theta, baseline) if bootstrap else None)
        for order in ORDERS:
            numbers[order]["closed_form"] = gap(getattr(mean, order), getattr(truth, order))
    tick()
    return numbers


def _cost(estimator: Estimator, baseline: Baseline, repeats: int, seed: int, tick: Tick) -> tuple[float, float]:
    """Median seconds of an SSS meta-gradient (K = 1, n = 32, 10 trials), in turn with the same by AD."""
    task, phi = MAML(random_mdp(seed=0)), torch.zeros(20, 5, dtype=torch.float64)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for which, mine in zip((estimator, AD()), times, strict=True):
            roles: dict[str, Any] = dict.fromkeys(ROLES, Sampled(which, 32, baseline=baseline))
            begin = time.perf_counter()
            meta_gradient(task, phi, **roles, n_trials=10, generator=generators(seed, 10))
            mine.append(time.perf_counter() - begin)
    tick()
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def _sweep(
    label: str, estimator: Estimator, baseline: Baseline, parts: str, size: Scale, seed: int, tick: Tick
) -> Iterator[SweepPoint]:
    """Meta-gradients of MAML on the paper's MDP as K, α or n moves; K = 1, α = 10, n = 16 where they stand still."""
    task, phi = MAML(random_mdp(seed=0)), torch.zeros(20, 5, dtype=torch.float64)
    rivals = {label: estimator} | {type(known).__name__: known for known in RIVALS if known != estimator}
    for setting, (k, lr, n) in _points(size):
        truth = meta_gradient(task, phi, k, lr)
        for name, which in rivals.items():
            oracles = {"E": Exact(), "S": Sampled(which, n, HORIZON, baseline=baseline)}
            roles: dict[str, Any] = {role: oracles[part] for role, part in zip(ROLES, parts, strict=True)}
            streams = generators(seed, size.sweep_trials)
            estimates = meta_gradient(task, phi, k, lr, **roles, n_trials=size.sweep_trials, generator=streams)
            agreement, scale = accuracy(estimates, truth), float(truth.square().sum())
            half = 1.96 * float(agreement.std()) / size.sweep_trials**0.5
            squared, error = (float(x) / scale for x in bias(estimates, truth))
            value = {"K": k, "α": lr, "n": n}[setting]
            yield SweepPoint(setting, value, name, float(agreement.mean()), half, squared, 1.96 * error)
        tick()


def _points(size: Scale) -> Iterator[tuple[str, tuple[int, float, int]]]:
    yield from (("K", (k, 10.0, N_TRAJECTORIES)) for k in size.n_inner_steps)
    yield from (("α", (1, lr, N_TRAJECTORIES)) for lr in size.inner_lr)
    yield from (("n", (1, 10.0, n)) for n in size.n_trajectories)


def _work(size: Scale) -> int:
    return len(list(tiny_problems())) + 2 + len(list(_points(size)))


@contextmanager
def _progress(total: int, label: str, show: bool) -> Iterator[Tick]:
    """A bar that appears after two seconds, if tqdm is there."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield lambda: None
        return
    with tqdm(total=total, desc=label, delay=2, leave=False, disable=not show) as bar:
        yield lambda: bar.update()
