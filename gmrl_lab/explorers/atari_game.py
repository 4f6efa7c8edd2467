"""Lesson 14's first explorer: a game as a player sees it, what the network sees of it, and where its returns end."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from gmrl_lab.atari.emulator import MAX_IDLE, Emulator
from gmrl_lab.atari.environments import GAMES
from gmrl_lab.explorers.atari import HIDDEN, Bytes, mosaic, picture, without_emulator
from gmrl_lab.explorers.controls import choice, slider
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

Values = NDArray[np.float64]
SIZE, LAST, DISCOUNT = 84, 300, 0.99
CHUNK = 40
"""Steps that are played at a time."""
RETURNS = {"until a life is lost": "lost", "until the game is over": "over"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    game: str = choice(*GAMES, default="Seaquest", label="game")
    step: int = slider(0, LAST, default=40, label="t", help="step shown")


class Recording:
    """A game of a policy that takes each action alike, as far as it has been played: it goes on where it stopped.

    Args:
        game: its usual name.
        seed: of the idle frames and the actions.
    """

    def __init__(self, game: str, seed: int) -> None:
        self._emulator, self._rng = Emulator(game, SIZE), np.random.default_rng(seed)
        self._emulator.reset(int(self._rng.integers(1, MAX_IDLE + 1)))
        self.screens: list[Bytes] = [self._emulator.screen]
        self.frames: list[Bytes] = [self._emulator.frames]
        self.rewards: list[float] = []
        self.lost: list[bool] = []
        self.over: list[bool] = []

    def __len__(self) -> int:
        """Steps played."""
        return len(self.rewards)

    def play(self, until: int) -> None:
        """Up to so many steps in all, or to the end of the game."""
        while len(self) < until and not (self.over and self.over[-1]):
            reward, lost, over = self._emulator.step(int(self._rng.integers(self._emulator.n_actions)))
            self.rewards.append(reward)
            self.lost.append(lost)
            self.over.append(over)
            self.screens.append(self._emulator.screen)
            self.frames.append(self._emulator.frames)


@dataclass(frozen=True, eq=False)
class Result:
    """The step shown: screen and frames before its action; and what each step paid, and whether it ended something."""

    settings: Settings
    step: int
    screen: Bytes
    frames: Bytes
    rewards: Values
    lost: NDArray[np.bool_]
    over: NDArray[np.bool_]

    def returns(self, ends: str) -> Values:
        """Clipped and discounted, from each step to the next end: "lost" or "over"."""
        return discounted_returns(np.clip(self.rewards, -1, 1), getattr(self, ends), DISCOUNT)


def atari_frames(seed: int = 0, **start: object) -> Explorer[Settings, Result] | widgets.HTML:
    """The first explorer of lesson 14; keyword arguments set controls by field name. Without the emulator, a note.

    Taught in lesson 14.
    """
    title = "A game, and what the network sees"
    return without_emulator() or Explorer(
        Settings, compute, draw, code, title=title, table=table, seed=seed, start=start
    )


def discounted_returns(rewards: Values, ended: NDArray[np.bool_], discount: float) -> Values:
    """G_t = r_t + γ G_{t+1}, and G_t = r_t where a return ends; what lies after the last step counts nothing.

    Args:
        rewards, ended: `(T,)`.
        discount: γ.

    Taught in lesson 14.
    """
    ahead, found = 0.0, np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        ahead = rewards[t] + (0.0 if ended[t] else discount * ahead)
        found[t] = ahead
    return found


@lru_cache(maxsize=2)
def recording(game: str, seed: int) -> Recording:
    """The game of a seed; longer each time that more of it is asked for."""
    return Recording(game, seed)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """The step asked for first, then the rest of the game, some steps at a time."""
    game = recording(settings.game, seed)
    for until in range(max(settings.step, len(game), CHUNK), LAST + CHUNK, CHUNK):
        until = min(until, LAST)
        game.play(until)
        done = until == LAST or game.over[-1]
        yield (1.0 if done else until / LAST), _result(settings, game)
        if done:
            return


def draw(result: Result) -> tuple[go.Figure, str]:
    """Screen, four frames, and the two returns from each step; one line of text."""
    ticks = {"title": {"text": "step"}, "range": [0, LAST]}
    seen = f"What the network sees: 4 frames, {SIZE}×{SIZE}"
    panels = [
        Panel(f"The screen at t = {result.step}", [picture(result.screen, "screen")], 1.0, HIDDEN, HIDDEN),
        Panel(seen, [picture(mosaic(result.frames), "frames")], 1.3, HIDDEN, HIDDEN),
        Panel("Clipped return from each step", _returns(result), 1.6, ticks, {"rangemode": "tozero"}),
    ]
    return side_by_side(panels, gap=0.05, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the step shown."""
    return "\n".join(
        [
            "import numpy as np",
            "from gmrl_lab.atari.emulator import Emulator",
            "",
            f"emulator, rng, steps = Emulator({settings.game!r}, {SIZE}), np.random.default_rng({seed}), []",
            f"emulator.reset(int(rng.integers(1, {MAX_IDLE + 1})))",
            f"while len(steps) < {settings.step} and not (steps and steps[-1][2]):",
            "    steps.append(emulator.step(int(rng.integers(emulator.n_actions))))",
            "print(sum(reward for reward, lost, over in steps), emulator.screen.shape, emulator.frames.shape)",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """A row per step played."""
    frame = pd.DataFrame({"reward": result.rewards, "life_lost": result.lost, "game_over": result.over})
    frame = frame.assign(**{f"return_{ends}": result.returns(ends) for ends in RETURNS.values()})
    return frame.rename_axis("step").reset_index()


def _result(settings: Settings, game: Recording) -> Result:
    step = min(settings.step, len(game))
    screen, frames = game.screens[step], game.frames[step]
    return Result(settings, step, screen, frames, *map(np.array, (game.rewards, game.lost, game.over)))


def _returns(result: Result) -> list[Trace]:
    x = list(range(len(result.rewards)))
    common: Trace = {"type": "scatter", "mode": "lines"}
    traces: list[Trace] = []
    low, top = 0.0, 1.0
    for index, (name, ends) in enumerate(RETURNS.items()):
        y = result.returns(ends)
        low, top = min(low, y.min(initial=0.0)), max(top, y.max(initial=0.0))
        traces.append({**common, "x": x, "y": y.tolist(), "name": name, "line": line_style(index)["line"]})
    lives: list[float | None] = [each for t in result.lost.nonzero()[0].tolist() for each in (t + 1, t + 1, None)]
    fences = {"x": lives, "y": [low, top, None] * (len(lives) // 3), "name": "a life is lost"}
    traces.append({**common, **fences, "line": {"color": "#999999", "width": 1.5, "dash": "dot"}})
    now = {"x": [result.step] * 2, "y": [low, top], "name": "t", "line": {"color": OKABE_ITO["black"], "width": 2}}
    return [*traces, {**common, **now}]


def _summary(result: Result) -> str:
    s, t, n = result.settings, result.step, len(result.rewards)
    seen = np.clip(result.rewards, -1, 1)
    ended = result.over[-1]
    shown = f"{s.game}, t = {t} of {n} steps" + (", with which the game is over" if ended else " recorded")
    score, clipped, lost = (x[:t].sum() for x in (result.rewards, seen, result.lost))
    so_far = f"score so far {score:g}, clipped {clipped:g}, lives lost {lost}"
    if t == n:
        return f"{shown}: {so_far}. Nothing is recorded after it."
    until_life, whole = (result.returns(ends)[t] for ends in RETURNS.values())
    return (
        f"{shown}: {so_far}. The next action pays {result.rewards[t]:g}, the learner sees {seen[t]:g}. From here the "
        f"clipped return is {until_life:.2f} until a life is lost, {whole:.2f} up to the end of what is recorded."
    )
