"""Lesson 14's third explorer: one game, learned while you look; it starts when asked to, and stops when asked to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.atari.environments import GAMES
from gmrl_lab.atari.figures import META_PARAMETERS
from gmrl_lab.atari.training import Trainer, Training
from gmrl_lab.explorers.atari import HIDDEN, Bytes, mosaic, picture, without_emulator
from gmrl_lab.explorers.controls import choice, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, grid, line_style

N_ENVS, EVERY = 8, 120
"""Environments; environment steps between two pictures, at least."""
LEARNERS: dict[str, dict[str, object]] = {
    "nothing": {"variant": "a2c", "inner_lr": 1e-30},
    "A2C": {"variant": "a2c"},
    "MGRL": {"variant": "mgrl"},
    "MGRL + LVC": {"variant": "mgrl-lvc"},
}
"""What differs from Table 4; a step size of zero, nearly, leaves the policy as it starts."""
WAIT, LEARN = "wait", "learn"


@dataclass(frozen=True)
class Settings:
    """The controls."""

    run: str = toggles({WAIT: "nothing runs", LEARN: "play and learn; Cancel stops"}, default=WAIT, label="start")
    game: str = choice(*GAMES, default="Qbert", label="game")
    learner: str = toggles(dict.fromkeys(LEARNERS, "who learns"), default="MGRL + LVC", label="learns")
    n_steps: int = steps((2_000, 10_000, 20_000, 50_000), default=20_000, label="steps", help="in all")

    def training(self, seed: int) -> Training:
        """The run, at a reduced setting with few environments."""
        own: dict[str, object] = {"total_steps": self.n_steps, "n_envs": N_ENVS, **LEARNERS[self.learner]}
        return Training.at(self.game, "reduced", seed, **own)


@dataclass(frozen=True, eq=False)
class Result:
    """A run so far: what the first environment sees now, its log, its finished games; empty before it starts."""

    settings: Settings
    scale: str
    frames: Bytes | None = None
    n_actions: int = 0
    metrics: pd.DataFrame | None = None
    games: pd.DataFrame | None = None

    @property
    def first_games(self) -> float:
        """Mean return of the first game of each environment; NaN until all of them have ended."""
        if self.games is None or self.games.empty:
            return math.nan
        first = self.games.groupby("environment")["return"].first()
        return float(first.mean()) if len(first) == N_ENVS else math.nan


def atari_learning(seed: int = 0, **start: object) -> Explorer[Settings, Result] | widgets.HTML:
    """The third explorer of lesson 14; keyword arguments set controls by field name. Without the emulator, a note.

    Taught in lesson 14.
    """
    title = "A minute of Atari"
    return without_emulator() or Explorer(
        Settings, compute, draw, code, title=title, table=table, seed=seed, start=start
    )


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Nothing until it is asked to learn; then update after update, shown every few."""
    run = settings.training(seed)
    empty = Result(settings, run.scale)
    if settings.run == WAIT:
        yield 1.0, empty
        return
    yield 0.0, empty
    trainer, shown = Trainer(run), 0
    while not trainer.done:
        trainer.update()
        now = trainer.state.env_steps
        if now - shown >= EVERY or trainer.done:
            shown = now
            yield min(now / settings.n_steps, 1.0), _result(settings, trainer)


def draw(result: Result) -> tuple[go.Figure, str]:
    """What is seen, the games that ended, the policy's entropy, and the meta-parameters; one line of text."""
    x = {"title": {"text": "environment steps"}, "range": [0, result.settings.n_steps]}
    learned = "meta-parameters, logit − its start"
    panels = [
        Panel("What environment 1 sees now", _seen(result), 1.0, HIDDEN, HIDDEN),
        Panel("Games that have ended", _games(result), 1.4, x, {"rangemode": "tozero", "title": {"text": "return"}}),
        Panel("Entropy of the policy", _entropy(result), 1.0, x, {"range": [0, 1.08], "title": {"text": "of log A"}}),
        Panel(f"What MGRL tunes: {learned}", _phi(result), 1.4, x),
    ]
    figure = grid(panels, 2, row_height=320, hovermode="closest")
    if result.frames is None:
        note = {"text": "Nothing runs yet: press “learn”.", "showarrow": False, "x": 0.5, "y": 0.5}
        note |= {"xref": "x2 domain", "yref": "y2 domain"}
        figure.layout.annotations = [*figure.layout.annotations, note]
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the run."""
    own = ", ".join(f"{name}={value!r}" for name, value in LEARNERS[settings.learner].items())
    return "\n".join(
        [
            "from gmrl_lab.atari.training import Trainer, Training",
            "",
            f'run = Training.at({settings.game!r}, "reduced", {seed}, total_steps={settings.n_steps}, '
            f"n_envs={N_ENVS}, {own})",
            "trainer = Trainer(run)",
            "while not trainer.done:",
            "    row = trainer.update()",
            "print(row['score'], row['games'], row['entropy'])",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """The run's log: a row per update."""
    return pd.DataFrame() if result.metrics is None else result.metrics


def _result(settings: Settings, trainer: Trainer) -> Result:
    environment, logger = trainer.environment, trainer.logger
    frames = environment.observations[0].numpy().copy()
    return Result(settings, trainer.run.scale, frames, environment.n_actions, logger.metrics, logger.games)


def _seen(result: Result) -> list[Trace]:
    return [] if result.frames is None else [picture(mosaic(result.frames), "frames")]


def _lines(result: Result, columns: dict[str, pd.Series], style: int = 0) -> list[Trace]:
    """A line for each column against the environment step."""
    assert result.metrics is not None
    common: Trace = {"type": "scatter", "mode": "lines", "x": result.metrics["env_steps"].to_numpy()}
    lines = enumerate(columns.items(), start=style)
    return [{**common, "y": y.to_numpy(), "name": name, "line": line_style(i)["line"]} for i, (name, y) in lines]


def _games(result: Result) -> list[Trace]:
    if result.metrics is None or result.games is None or result.games.empty:
        return _BLANK
    grey = {"color": "#888888", "size": 6, "symbol": "circle-open"}
    x, y = (result.games[name].to_numpy() for name in ("step", "return"))
    traces: list[Trace] = [
        {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": "a game", "marker": grey},
        *_lines(result, {"score, last 64 games": result.metrics["score"]}),
    ]
    if result.first_games == result.first_games:
        black = {"color": OKABE_ITO["black"], "width": 2}
        ends = {"x": [0, result.settings.n_steps], "y": [result.first_games] * 2}
        name = "first game of each environment, mean"
        traces.append({"type": "scatter", "mode": "lines", **ends, "name": name, "line": black})
    return traces


def _entropy(result: Result) -> list[Trace]:
    if result.metrics is None:
        return _BLANK
    share = result.metrics["entropy"] / math.log(result.n_actions)
    return [{**trace, "showlegend": False} for trace in _lines(result, {"entropy": share})]


def _phi(result: Result) -> list[Trace]:
    if result.metrics is None or not result.settings.training(0).settings.is_meta:
        return _BLANK
    values = result.metrics[list(META_PARAMETERS)]
    start = pd.Series({name: getattr(result.settings.training(0).settings, name) for name in META_PARAMETERS})
    moved = (values / (1 - values)).map(math.log) - (start / (1 - start)).map(math.log)
    return _lines(result, {symbol: moved[name] for name, symbol in META_PARAMETERS.items()}, 1)


def _summary(result: Result) -> str:
    s = result.settings
    what = f"{s.game}, {result.scale}, learns: {s.learner}"
    if result.metrics is None:
        return f"{what}: nothing has run yet; {s.n_steps:,} steps are to come, after {N_ENVS} emulators have started."
    row = result.metrics.iloc[-1]
    rate = row["env_steps"] / row["seconds"]
    entropy = f"entropy {row['entropy'] / math.log(result.n_actions):.1%} of a uniform policy's"
    reached = f"{what}: {row['env_steps']:,.0f} of {s.n_steps:,} steps, {rate:.0f} a second; {entropy}"
    if not row["games"]:
        return f"{reached}. No game has ended yet, so there is no score."
    first = result.first_games
    fair = "not all first games have ended" if first != first else f"the first game of each environment {first:.4g}"
    return f"{reached}. Mean of the last {min(row['games'], 64):.0f} finished games {row['score']:.4g}; {fair}."


_BLANK: list[Trace] = [{"type": "scatter", "x": [None], "y": [None], "showlegend": False}]
"""Axes without a line: a point that is nowhere, since Plotly scales axes that have no point too late for its lines."""
