"""Lesson 13's second explorer: A2C and MGRL learn live, and the four meta-parameters move while they do."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab.atari.learner import Learner
from gmrl_lab.atari.settings import META_PARAMETERS, STRATEGIES, VARIANTS, Table4
from gmrl_lab.atari.training import Trainer, Training
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.mdp import random_mdp
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

SYMBOLS = dict(zip(META_PARAMETERS, ("γ", "λ", "c<sub>v</sub>", "c<sub>h</sub>"), strict=True))
EPISODE = 20
"""Steps of a game of RandomMDP."""
BEST = {"CartPole": 500.0}
"""The most that a game can pay; of RandomMDP it is computed."""
_UNDISCOUNTED = 1 - 1e-15

_STRATEGIES = {"online": "the updates are real", "discard": "virtual updates, taken back"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    game: str = choice("RandomMDP", "CartPole", default="RandomMDP", label="game")
    variant: str = choice(*VARIANTS, default="mgrl-lvc", label="learner")
    strategy: str = toggles({name: _STRATEGIES[name] for name in STRATEGIES}, default="online", label="strategy")
    n_inner: int = slider(1, 5, default=3, label="K", help="inner updates")
    n_envs: int = powers_of_two(4, 64, default=16, label="envs", help="in parallel")
    inner_lr: float = log_slider(3e-4, 3e-2, default=1e-2, label="α", help="inner step, falls to 0")
    meta_lr: float = log_slider(1e-3, 0.1, default=1e-2, label="β", help="step of φ")
    n_batches: int = steps((30, 60, 120, 300, 600, 1500), default=60, label="N", help="batches of experience")

    @property
    def run(self) -> dict[str, Any]:
        """What differs from Table 4, by its field names."""
        names = ("variant", "strategy", "n_inner", "n_envs", "inner_lr", "meta_lr")
        total = self.n_batches * self.n_envs * Table4.n_steps
        return {name: getattr(self, name) for name in names} | {"total_steps": total}


@dataclass(frozen=True, eq=False)
class Result:
    """The log so far, a row for each meta-update (A2C: update); `exact` is the true mean return of the policy, NaN
    where it is not known."""

    settings: Settings
    log: pd.DataFrame


def live_mgrl(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The second explorer of lesson 13; keyword arguments set controls by field name at the start.

    Taught in lesson 13.
    """
    title = "An update that tunes itself"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """One update of the learner after the other, shown every few."""
    trainer = Trainer(Training.at(settings.game, seed=seed, **settings.run))
    known = settings.game == "RandomMDP"
    values: list[float] = []
    while not trainer.done:
        trainer.update()
        values.append(true_return(trainer.learner, trainer.state.parameters) if known else float("nan"))
        if len(values) % 4 == 1 or trainer.done:
            share = min(trainer.state.env_steps / trainer.run.settings.total_steps, 1.0)
            yield share, Result(settings, trainer.logger.metrics.assign(exact=values))


def true_return(learner: Learner, parameters: Parameters) -> float:
    """The mean return of a policy in a game of RandomMDP: no sample, 20 steps of the MDP, not discounted.

    Taught in lesson 13.
    """
    mdp = random_mdp(seed=0)
    with torch.no_grad():
        features = learner.network.features(parameters, torch.eye(mdp.n_states))
        logits = learner.network.logits(parameters, features).double()
        return exact.objective(mdp.replace(discount=_UNDISCOUNTED), logits, EPISODE).item()


@cache
def best_return() -> float:
    """The most that any policy can expect in a game of RandomMDP, by backward induction.

    Taught in lesson 13.
    """
    mdp = random_mdp(seed=0)
    value: Tensor = torch.zeros(mdp.n_states, dtype=mdp.dtype)
    for _ in range(EPISODE):
        value = (mdp.rewards + mdp.transitions @ value).amax(-1)
    return float(value @ mdp.start_distribution)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Scores against experience, how far each logit of φ has moved, what was counted; and one line of text."""
    s = result.settings
    x = {"title": {"text": "environment steps"}, "range": [0, s.run["total_steps"]]}
    panels = [
        Panel("Return of a game", _scores(result), 1.3, x, {"rangemode": "tozero"}),
        Panel("Moves of φ, in logits", _moves(result), 1.2, x),
        Panel("Counted", _counted(result), 0.8),
    ]
    return side_by_side(panels, gap=0.07, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    lines = [
        "from gmrl_lab.atari.training import Trainer, Training",
        "",
        f'run = Training.at("{settings.game}", seed={seed}, **{settings.run!r})',
        "trainer = Trainer(run)",
        "while not trainer.done:",
        "    row = trainer.update()",
        'print(row["score"], row["discount"], row["gae_lambda"], row["value_coefficient"], row["entropy_coefficient"])',
    ]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """The log."""
    return result.log


def _scores(result: Result) -> list[Trace]:
    log, game = result.log, result.settings.game
    common: Trace = {"type": "scatter", "mode": "lines"}
    known = log.dropna(subset=["score"])
    measured = {"x": known["env_steps"].tolist(), "y": known["score"].tolist(), "name": "mean of the last 64 games"}
    black = {"color": OKABE_ITO["black"], "width": 2}
    best = BEST[game] if game in BEST else best_return()
    ends = {"x": [0, result.settings.run["total_steps"]], "y": [best, best], "name": "best possible"}
    traces = [{**common, **measured, "line": line_style(0)["line"]}, {**common, **ends, "line": {"color": "#888888"}}]
    if game not in BEST:
        true = {"x": log["env_steps"].tolist(), "y": log["exact"].tolist(), "name": "this policy, exactly"}
        traces.append({**common, **true, "line": black})
    return traces


def _moves(result: Result) -> list[Trace]:
    log, start = result.log, Table4()
    traces = []
    for i, (name, symbol) in enumerate(SYMBOLS.items()):
        moved = _logit(log[name].tolist()) - _logit([getattr(start, name)])
        label = f"{symbol} {getattr(start, name):g} → {log[name].iloc[-1]:.4g}"
        line: Trace = {"type": "scatter", "mode": "lines", "x": log["env_steps"].tolist(), "y": moved.tolist()}
        traces.append({**line, "name": label, "line": line_style(1 + i)["line"]})
    return traces


def _logit(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).logit()


def _counts(result: Result) -> dict[str, int]:
    s, last = result.settings, result.log.iloc[-1]
    batches = int(last["env_steps"]) // (s.n_envs * Table4.n_steps)
    return {"batches": batches, "updates": int(last["updates"]), "meta-updates": int(last["meta_updates"])}


def _counted(result: Result) -> list[Trace]:
    counts = _counts(result)
    names = [name.replace("-", "-<br>") for name in counts]
    bar: Trace = {"type": "bar", "x": names, "y": list(counts.values()), "showlegend": False}
    return [{**bar, "text": [str(n) for n in counts.values()], "marker": {"color": "#bbbbbb", "line": {"width": 1}}}]


def _summary(result: Result) -> str:
    s, last = result.settings, result.log.iloc[-1]
    counts = ", ".join(f"{n} {name}" for name, n in _counts(result).items())
    score = f"mean of the last 64 games {last['score']:.3g}" if last["score"] == last["score"] else "no game has ended"
    known = f", of this policy exactly {last['exact']:.3g}, best {best_return():.3g}" if s.game not in BEST else ""
    names = zip(("γ", "λ", "c_v", "c_h"), META_PARAMETERS, strict=True)
    phi = ", ".join(f"{symbol} = {last[name]:.4g}" for symbol, name in names)
    learner = s.variant if s.variant == "a2c" else f"{s.variant}, {s.strategy}, K = {s.n_inner}, β = {s.meta_lr:g}"
    return f"{s.game}, {learner}, α = {s.inner_lr:g}, {s.n_envs} environments: {counts}; {score}{known}; {phi}."
