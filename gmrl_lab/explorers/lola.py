"""Lesson 11's explorer: two players learn a repeated game, live; their policies move, and so does their score."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.controls import choice, log_slider, number, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.explorers.five_states import AXES, NAMES, five_states
from gmrl_lab.games import GAMES
from gmrl_lab.learners import LOLASettings, history, learn
from gmrl_lab.paper.statistics import interval, share
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, line_style, side_by_side

OWN = "own payoffs"
TIT_FOR_TAT = "CCDCD"
NEARLY = 0.9
"""Players made peace whose mean score is past this part of the way from mutual defection to mutual cooperation."""
N_REDRAWS = 20


@dataclass(frozen=True)
class Settings:
    """The controls."""

    learner: str = toggles(
        {"LOLA": "looks ahead", "naive": "takes the other as given"}, default="LOLA", label="learner"
    )
    game: str = choice(*GAMES, OWN, default="ipd", label="game")
    temptation: float = number(-10.0, 10.0, default=0.0, label="DC", help="own payoffs: to cheat")
    sucker: float = number(-10.0, 10.0, default=-3.0, label="CD", help="own payoffs: cheated")
    n_inner_steps: int = slider(1, 5, default=1, label="K", help="look-ahead steps")
    inner_lr: float = log_slider(0.03, 10.0, default=0.3, label="α", help="size of a look-ahead step")
    discount: float = steps((0.5, 0.8, 0.9, 0.96, 0.98), default=0.96, label="γ", help="discount")
    initial_sd: float = steps((0.0, 0.1, 0.5, 1.0), default=0.5, label="σ", help="spread of the first logits")
    n_seeds: int = steps((1, 4, 20), default=4, label="runs")
    n_updates: int = steps((50, 100, 200, 500), default=100, label="N", help="updates")

    @property
    def played(self) -> gl.MatrixGame:
        """The game, with the payoffs of the controls where they count."""
        if self.game != OWN:
            return GAMES[self.game](self.discount, torch.float64)
        payoff = torch.tensor([[-1.0, self.sucker], [self.temptation, -2.0]], dtype=torch.float64)
        return gl.MatrixGame(payoff, payoff.mT, self.discount)

    @property
    def learning(self) -> LOLASettings:
        """Everything exact, the rest from the controls."""
        return LOLASettings(
            learner=self.learner.lower(),
            n_updates=self.n_updates,
            inner_lr=self.inner_lr,
            discount=self.discount,
            n_inner_steps=self.n_inner_steps,
            inner="exact",
            hessian="exact",
            outer="exact",
            initial_sd=self.initial_sd,
        )

    @property
    def runs(self) -> int:
        """Without spread all runs are the same one."""
        return self.n_seeds if self.initial_sd else 1


@dataclass(frozen=True, eq=False)
class Result:
    """Logits `(t, runs, 2, 5)` and scores per round `(t, runs, 2)` after each update so far."""

    settings: Settings
    seed: int
    theta: Tensor
    score: Tensor

    @property
    def peace(self) -> list[bool]:
        """Whether the mean score of both comes within a tenth of what cooperation pays, in each run."""
        both_cooperate, both_defect = landmarks(self.settings).values()
        gained = self.score[-1].mean(-1) - both_defect
        return (gained > NEARLY * (both_cooperate - both_defect) + 1e-9).tolist()


def opponent_shaping(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 11; keyword arguments set controls by field name at the start.

    Taught in lesson 11.
    """
    title = "Two learners, one dilemma"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """One update after the other, shown every few; run i has seed `seed` + i."""
    every = settings.n_updates // N_REDRAWS
    seen = []
    for update in learn(settings.learning, range(seed, seed + settings.runs), settings.played):
        seen.append(update)
        if update.number % every == 0 or update.number == 1:
            past = history(seen)
            yield update.number / settings.n_updates, Result(settings, seed, past["theta"], past["score"])


def draw(result: Result) -> tuple[go.Figure, str]:
    """The first run's policies as five states, scores against update, logits by state; and one line of text."""
    picture, arrows = five_states(result.settings.played, result.theta[-1, 0])
    x = {"title": {"text": "update"}, "range": [0, result.settings.n_updates]}
    plays = [f"{name}<br>{move}" for name, move in zip(NAMES, TIT_FOR_TAT, strict=True)]
    ticks = {"tickvals": list(range(5)), "ticktext": plays, "title": {"text": "own move first; below, tit-for-tat's"}}
    panels = [
        Panel("Run shown: chance to cooperate", picture, 1.35, **AXES),
        Panel("Score per round", _scores(result), 1.2, x),
        Panel("Logits of COOPERATE", _logits(result), 1.0, ticks),
    ]
    figure = side_by_side(panels, gap=0.06, hovermode="closest")
    figure.layout.annotations = [*figure.layout.annotations, *arrows]
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s, learning = settings, settings.learning
    named = ("learner", "n_updates", "inner_lr", "discount", "n_inner_steps", "initial_sd")
    lines = [
        "import torch",
        "import gmrl_lab as gl",
        "from gmrl_lab.games import GAMES",
        "from gmrl_lab.learners import LOLASettings, history, learn",
        "",
        f"payoff = torch.tensor([[-1.0, {s.sucker}], [{s.temptation}, -2.0]], dtype=torch.float64)",
        f"game = gl.MatrixGame(payoff, payoff.mT, {s.discount})",
        'exact = {"inner": "exact", "hessian": "exact", "outer": "exact"}',
        "settings = LOLASettings(",
        *(f"    {name}={getattr(learning, name)!r}," for name in named),
        "    **exact,",
        ")",
        f"run = history(list(learn(settings, range({seed}, {seed + s.runs}), game)))",
        'print(run["score"][-1], run["theta"][-1].sigmoid())',
    ]
    if s.game != OWN:
        lines[5:7] = [f"game = GAMES[{s.game!r}]({s.discount}, torch.float64)"]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """A row per update, run and player: its score and its chances to cooperate."""
    n_updates, n_runs, n_players = result.score.shape
    index = pd.MultiIndex.from_product(
        [range(1, n_updates + 1), range(result.seed, result.seed + n_runs), range(1, n_players + 1)],
        names=["update", "seed", "player"],
    )
    frame = pd.DataFrame(result.theta.sigmoid().flatten(0, 2).numpy(), index, list(NAMES))
    return frame.assign(score=result.score.flatten().numpy()).reset_index()


def landmarks(settings: Settings) -> dict[str, float]:
    """Mean payoff of both where both always cooperate, and where both always defect."""
    payoffs = torch.stack([mdp.rewards[0] for mdp in settings.played.mdps]).mean(0)
    return {"both cooperate": payoffs[0].item(), "both defect": payoffs[3].item()}


def _scores(result: Result) -> list[Trace]:
    """Mean of both over all runs with its band, each player of the run shown, and what peace and war would pay."""
    x = list(range(1, len(result.score) + 1))
    common: Trace = {"type": "scatter", "mode": "lines"}
    traces: list[Trace] = []
    if result.settings.runs > 1:
        ends = [interval(row) for row in result.score.mean(-1).tolist()]
        mean, low, high = ([m + sign * h for m, h in ends] for sign in (0, -1, 1))
        middle, spread = band(x, mean, low, high, "mean of all runs ± 95%", 2)
        traces += [spread, middle]
    for player, y in enumerate(result.score[:, 0].T.tolist()):
        traces.append({**common, "x": x, "y": y, "name": f"run shown, player {player + 1}", **line_style(player)})
    black = {"color": OKABE_ITO["black"], "width": 1.5}
    for (name, value), dash in zip(landmarks(result.settings).items(), ("solid", "dot"), strict=True):
        ends_of_axis = [0, result.settings.n_updates]
        traces.append({**common, "x": ends_of_axis, "y": [value] * 2, "name": name, "line": {**black, "dash": dash}})
    return traces


def _logits(result: Result) -> list[Trace]:
    """Both players of each run, in each state; the run shown is filled."""
    traces: list[Trace] = []
    for player in (0, 1):
        look = line_style(player)["marker"]
        aside = 0.15 * (2 * player - 1)
        rest, shown = result.theta[-1, 1:, player], result.theta[-1, 0, player]
        common: Trace = {"type": "scatter", "mode": "markers", "showlegend": False, "name": f"player {player + 1}"}
        every = {"x": [s + aside for _ in rest for s in range(5)], "y": rest.flatten().tolist()}
        traces.append({**common, **every, "marker": {**look, "opacity": 0.35}})
        traces.append(
            {**common, "x": [s + aside for s in range(5)], "y": shown.tolist(), "marker": {**look, "size": 11}}
        )
    return traces


def _summary(result: Result) -> str:
    s = result.settings
    first, second = result.score[-1, 0].tolist()
    chances = "; ".join(
        f"player {number}: " + ", ".join(f"{name} {p:.2f}" for name, p in zip(NAMES, row, strict=True))
        for number, row in enumerate(result.theta[-1, 0].sigmoid().tolist(), start=1)
    )
    held, low, high = share(result.peace)
    whole = "all runs are this one" if s.initial_sd == 0 else f"share {held:.0%}, 95% [{low:.0%}, {high:.0%}]"
    ahead = f", K = {s.n_inner_steps}, α = {s.inner_lr:g}" if s.learner == "LOLA" else ""
    payoffs = f" (DC {s.temptation:g}, CD {s.sucker:g})" if s.game == OWN else ""
    fixed = ", ".join(f"{name} {value:g}" for name, value in landmarks(s).items())
    return (
        f"{s.learner}{ahead}, {s.game}{payoffs}, γ = {s.discount:g}, σ = {s.initial_sd:g}: after "
        f"{len(result.score)} of {s.n_updates} updates run {result.seed} scores {first:.2f} and {second:.2f} per round "
        f"({fixed}). Chance to cooperate, own move first, {chances}. The mean of both comes within a tenth of "
        f"what cooperation pays in {sum(result.peace)} of {s.runs} runs ({whole})."
    )
