"""Lesson 13's explorer: one meta-gradient through K updates, update by update, the truth beside each estimator."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.estimators import ExpectedEstimator
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.explorers.mgrl_graph import axes, graph
from gmrl_lab.meta import product_terms
from gmrl_lab.oracles import Oracle
from gmrl_lab.paper.statistics import interval
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side
from gmrl_lab.problem import ValueTable
from gmrl_lab.seeding import Generators, Streams

HORIZON = 5
"""T, steps of a window: those of an update in Table 4."""
MAX_STEPS = 5
ESTIMATORS: dict[str, ExpectedEstimator] = {"AD": gl.AD(), "LVC": gl.LVC(), "LoadedDiCE": gl.LoadedDiCE()}
COLOURS = {"AD": "vermillion", "LVC": "orange", "LoadedDiCE": "bluish green"}
META = {"γ": "discount of the update", "λ": "of GAE in the update"}


@dataclass(frozen=True, eq=False)
class Windows(gl.MGRL):
    """MGRL whose inner update is the mean over T-step windows of the present policy, with a frozen critic.

        g(φ, θ) = E_{τ ~ π_θ}[ĝ(τ; φ, θ)]

    Args:
        critic: V̂, `(S,)`.
        estimator: what differentiates g, and knows nothing of τ ~ π_θ but what its surrogate carries; None is the
            truth, in which the windows' distribution is differentiated as well. The values of g are the same.

    Taught in lesson 13.
    """

    critic: Tensor = field(kw_only=True)
    estimator: ExpectedEstimator | None = None

    def inner_update(
        self, phi: Tensor, theta: Tensor, oracle: Oracle, generator: Streams | Generators | None = None
    ) -> Tensor:
        """g(φ, θ), `(..., S, A)`; the oracle is not asked."""
        problem, moving = self.inner(phi, theta), theta.view_as(theta)
        behaviour = theta.softmax(-1)
        if self.estimator is not None:
            behaviour = behaviour.detach()
        known = self.estimator or gl.AD()
        gae_lambda = phi.sigmoid()[..., 1]
        surrogate = known.expected_surrogate(problem.mdp, moving, behaviour, self.critic, HORIZON, gae_lambda)
        (update,) = torch.autograd.grad(surrogate.sum(), moving, create_graph=True)
        return update


@dataclass(frozen=True)
class Settings:
    """The controls."""

    estimator: str = choice(*ESTIMATORS, default="AD", label="estimator")
    meta: str = toggles(META, default="γ", label="φ", help="which meta-parameter")
    n_inner_steps: int = slider(1, MAX_STEPS, default=3, label="K", help="inner updates")
    inner_lr: float = log_slider(0.1, 4.0, default=1.0, label="α", help="inner step size")
    critic: float = steps((0.0, 0.5, 1.0, 1.5), default=0.0, label="c", help="the critic says c · V")
    discount: float = steps((0.5, 0.7, 0.8, 0.9, 0.95), default=0.9, label="γ", help="of the update")
    gae_lambda: float = steps((0.5, 0.8, 0.95, 0.99), default=0.95, label="λ", help="of the update")
    n_windows: int = powers_of_two(16, 1024, default=64, label="|τ|", help="windows in a batch")
    n_trials: int = steps((10, 20, 50), default=20, label="M", help="repeated estimates")

    @property
    def phi(self) -> Tensor:
        """Logits of γ and λ."""
        return gl.MGRL.phi(self.discount, self.gae_lambda)


@dataclass(frozen=True, eq=False)
class Result:
    """Meta-gradients after 1 … 5 updates `(5,)` and shares of the K updates `(K,)`, exact for truth and estimator, and
    sampled meta-gradients so far `(M,)`; all for one meta-parameter, by its logit."""

    settings: Settings
    truth: Tensor
    expected: Tensor
    true_shares: Tensor
    expected_shares: Tensor
    estimates: Tensor


def through_updates(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The first explorer of lesson 13; keyword arguments set controls by field name at the start.

    Taught in lesson 13.
    """
    title = "One meta-gradient through K updates"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def world(critic: float = 0.0) -> Windows:
    """Five states, three actions, windows that start anywhere, γ = 0.9 outside; V̂ is `critic` times V of θ⁰.

    Taught in lesson 13.
    """
    mdp = gl.random_mdp(5, 3, discount=0.9, concentration=0.3, seed=1)
    mdp = mdp.replace(start_state=torch.full((5,), 0.2, dtype=torch.float64))
    theta = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Windows(mdp, theta, critic=critic * gl.exact.value(mdp, theta))


@lru_cache(maxsize=64)
def by_update(estimator: str | None, discount: float, gae_lambda: float, critic: float, inner_lr: float) -> Tensor:
    """α D_i Π_{j>i} (I + α H_j) v for each K and i, `(5, 5, 2)`, zero for i ≥ K; None for the truth.

    Taught in lesson 13.
    """
    task = replace(world(critic), estimator=None if estimator is None else ESTIMATORS[estimator])
    terms = product_terms(task, gl.MGRL.phi(discount, gae_lambda), MAX_STEPS, inner_lr)
    found = torch.zeros(MAX_STEPS, MAX_STEPS, 2, dtype=torch.float64)
    for k in range(1, MAX_STEPS + 1):
        ahead = gl.exact.gradient(task.mdp, terms.path[k]).flatten()
        for i in range(k - 1, -1, -1):
            found[k - 1, i] = inner_lr * terms.jacobians[i] @ ahead
            ahead = terms.factors[i] @ ahead
    return found


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """All that is exact at once; then estimates in growing number, trial i from generator i of the seed."""
    s, column = settings, list(META).index(settings.meta)
    given = (s.discount, s.gae_lambda, s.critic, s.inner_lr)
    truth, expected = (by_update(name, *given)[..., column] for name in (None, s.estimator))
    true_shares, shares = (x[s.n_inner_steps - 1, : s.n_inner_steps] for x in (truth, expected))
    generators, done = gl.generators(seed, s.n_trials), torch.zeros(0, dtype=torch.float64)
    task = world(s.critic)
    baseline = ValueTable(table=task.critic)
    oracle = gl.Sampled(ESTIMATORS[s.estimator], s.n_windows, HORIZON, baseline=baseline)
    for first in range(0, s.n_trials, 10):
        trials = generators[first : first + 10]
        found = gl.meta_gradient(
            gl.MGRL(task.mdp, task.initial_theta), s.phi, s.n_inner_steps, s.inner_lr, oracle, oracle,
            n_trials=len(trials), generator=trials, share_samples=True,
        )  # fmt: skip
        done = torch.cat([done, found[:, column]])
        yield len(done) / s.n_trials, Result(s, truth.sum(-1), expected.sum(-1), true_shares, shares, done)


def draw(result: Result) -> tuple[go.Figure, str]:
    """The graph with each update's share, the shares as bars, the sum against K; and one line of text."""
    s, colour = result.settings, OKABE_ITO[COLOURS[result.settings.estimator]]
    picture, arrows = graph(s.n_inner_steps, _of_the_true_shares(result), colour)
    reach = {"title": {"text": "K"}, "dtick": 1, "range": [0.6, MAX_STEPS + 0.4]}
    panels = [
        Panel(f"{s.estimator}: how φ gets to L", picture, 1.6, **axes(s.n_inner_steps)),
        Panel("Share of each update", _shares(result), 1.0, {"title": {"text": "update"}}),
        Panel(f"Meta-gradient, logit of {s.meta}", _against_k(result), 1.1, reach),
    ]
    figure = side_by_side(panels, gap=0.07, hovermode="closest", barmode="group")
    figure.layout.annotations = [*figure.layout.annotations, *arrows]
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s = settings
    column = list(META).index(s.meta)
    lines = [
        "from dataclasses import replace",
        "",
        "import gmrl_lab as gl",
        "from gmrl_lab.explorers.mgrl import world",
        "from gmrl_lab.problem import ValueTable",
        "",
        f"task = world(critic={s.critic})",
        f"phi, step = gl.MGRL.phi({s.discount}, {s.gae_lambda}), ({s.n_inner_steps}, {s.inner_lr})",
        f"truth = gl.meta_gradient_by_product(task, phi, *step)[{column}]",
        f"expected = gl.meta_gradient_by_product(replace(task, estimator=gl.{s.estimator}()), phi, *step)[{column}]",
        f"batch = gl.Sampled(gl.{s.estimator}(), {s.n_windows}, {HORIZON}, baseline=ValueTable(table=task.critic))",
        f'trials = {{"n_trials": {s.n_trials}, "generator": gl.generators({seed}, {s.n_trials})}}',
        "plain = gl.MGRL(task.mdp, task.initial_theta)",
        f"estimates = gl.meta_gradient(plain, phi, *step, batch, batch, **trials, share_samples=True)[:, {column}]",
        "print(truth, expected, estimates.mean())",
    ]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """A row per K with the exact sums, and one per sampled estimate."""
    ks = range(1, MAX_STEPS + 1)
    exactly = pd.DataFrame({"K": ks, "truth": result.truth.numpy(), "expected": result.expected.numpy()})
    own = {
        "K": result.settings.n_inner_steps,
        "trial": range(len(result.estimates)),
        "estimate": result.estimates.numpy(),
    }
    return pd.concat([exactly, pd.DataFrame(own)], ignore_index=True)


def _of_the_true_shares(result: Result) -> list[str]:
    """What the estimator keeps of each share, in percent."""
    pairs = zip(result.expected_shares.tolist(), result.true_shares.tolist(), strict=True)
    return [f"{kept / true:.0%}" if abs(true) > 1e-12 else "0" for kept, true in pairs]


def _shares(result: Result) -> list[Trace]:
    names = [str(i) for i in range(result.settings.n_inner_steps)]
    common: Trace = {"type": "bar", "x": names}
    outline = {"line": {"color": "#444444", "width": 1}}
    own = {"color": OKABE_ITO[COLOURS[result.settings.estimator]], "pattern": {"shape": "/"}}
    return [
        {**common, "y": result.true_shares.tolist(), "name": "truth", "marker": {"color": "#333333", **outline}},
        {**common, "y": result.expected_shares.tolist(), "name": result.settings.estimator, "marker": own | outline},
    ]


def _against_k(result: Result) -> list[Trace]:
    s, ks = result.settings, list(range(1, MAX_STEPS + 1))
    colour, (mean, half) = OKABE_ITO[COLOURS[s.estimator]], interval(result.estimates.tolist())
    line: Trace = {"type": "scatter", "mode": "lines+markers", "x": ks}
    black = {"line": {"color": OKABE_ITO["black"], "width": 2}, "marker": {"size": 5}}
    dashed = {"line": {"color": colour, "dash": "dash", "width": 2}, "marker": {"color": colour, "symbol": "square"}}
    points: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [s.n_inner_steps] * len(result.estimates),
        "y": result.estimates.tolist(),
        "marker": {"color": "#888888", "size": 5, "opacity": 0.5},
        "name": "one estimate",
    }
    middle: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [s.n_inner_steps],
        "y": [mean],
        "error_y": {"type": "data", "array": [half], "thickness": 2, "width": 7},
        "marker": {**line_style(0)["marker"], "size": 10},
        "name": "mean of estimates ± 95%",
    }
    return [
        points,
        {**line, **black, "y": result.truth.tolist(), "name": "truth against K"},
        {**line, **dashed, "y": result.expected.tolist(), "name": f"{s.estimator}, endless data"},
        middle,
    ]


def _summary(result: Result) -> str:
    s, at = result.settings, result.settings.n_inner_steps - 1
    truth, expected = result.truth[at].item(), result.expected[at].item()
    mean, half = interval(result.estimates.tolist())
    parts = ", ".join(
        f"update {i}: {a:.3g} for {b:.3g}"
        for i, (a, b) in enumerate(zip(result.expected_shares.tolist(), result.true_shares.tolist(), strict=True))
    )
    return (
        f"{s.estimator}, K = {s.n_inner_steps}, α = {s.inner_lr:g}, V̂ = {s.critic:g} · V: meta-gradient in the "
        f"logit of {s.meta} {expected:.3g} with endless data, truth {truth:.3g} ({expected / truth - 1:+.0%}); "
        f"{len(result.estimates)} estimates from {s.n_windows} windows {mean:.3g} ± {half:.2g}. Shares of "
        f"{s.estimator}, for the true ones: {parts}."
    )
