"""A picture of two memory-one policies: five states, who cooperates there, and where the rounds are spent."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab.games import AS_THE_OTHER_SEES, MatrixGame
from gmrl_lab.plots import OKABE_ITO, Trace

NAMES = ("start", "CC", "CD", "DC", "DD")
PLACES = ((-0.95, 0.5), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0))
"""Where each state stands; player 1's action comes first, so that in a column player 2 did the same."""
LEAST = 0.05
"""The rarest transition that gets an arrow."""
_COLOURS = ((0.0, OKABE_ITO["vermillion"]), (0.5, "#F4F4F4"), (1.0, OKABE_ITO["blue"]))
_AXIS: dict[str, Any] = {"showgrid": False, "zeroline": False, "showline": False, "showticklabels": False, "ticks": ""}
AXES = {"x": {**_AXIS, "range": [-1.25, 1.3]}, "y": {**_AXIS, "range": [-0.22, 1.25]}}


def rounds(game: MatrixGame, theta: Tensor) -> Tensor:
    """Share of the discounted rounds that are played in each state (start, CC, CD, DC, DD) of player 1, `(..., 5)`.

    Args:
        game: one game.
        theta: both players' logits of COOPERATE, `(..., 2, 5)`, each player's own action first.
    """
    problem = game.problems(theta[..., 0, :], theta[..., 1, :])[0]
    return (1 - problem.mdp.discount) * exact.occupancy(problem.mdp, problem.logits)


def five_states(game: MatrixGame, theta: Tensor) -> tuple[list[Trace], list[dict[str, Any]]]:
    """The picture of one pair of policies `(2, 5)`: traces, and arrows as annotations of the panel's axes.

    Both players are shown in the same round: beside player 1's chance after CD stands player 2's after DC.
    """
    chances = torch.stack([theta[0], theta[1, list(AS_THE_OTHER_SEES)]]).sigmoid()
    labels: Trace = {
        "type": "scatter",
        "mode": "text",
        "x": [x for x, _ in PLACES],
        "y": [y + 0.14 for _, y in PLACES],
        "text": [f"<b>{name}</b> {share:.0%}" for name, share in zip(NAMES, rounds(game, theta).tolist(), strict=True)],
        "showlegend": False,
        "hoverinfo": "skip",
    }
    players = [_player(number, row.tolist()) for number, row in enumerate(chances, start=1)]
    return [*players, labels], list(_arrows(*chances.unbind()))


def _player(number: int, chances: list[float]) -> Trace:
    """A marker in each state: its number and its colour are the chance to cooperate."""
    aside = 0.105 * (2 * number - 3)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": f"player {number}'s chance to cooperate",
        "x": [x + aside for x, _ in PLACES],
        "y": [y for _, y in PLACES],
        "text": [f"{p:.2f}" for p in chances],
        "textfont": {"size": 11, "color": ["#ffffff" if abs(p - 0.5) > 0.3 else "#111111" for p in chances]},
        "hovertemplate": "%{text}",
        "marker": {
            "symbol": "circle" if number == 1 else "square",
            "size": 32,
            "color": chances,
            "cmin": 0,
            "cmax": 1,
            "colorscale": _COLOURS,
            "line": {"color": "#444444", "width": 1},
        },
    }


def _arrows(first: Tensor, second: Tensor) -> Iterator[dict[str, Any]]:
    """From each state to the four that can follow; the thicker, the likelier. To stay needs no arrow."""
    one, two = (torch.stack([p, 1 - p], -1) for p in (first, second))
    joint = (one.unsqueeze(-1) * two.unsqueeze(-2)).flatten(-2).tolist()
    for here, row in enumerate(joint):
        for there, chance in enumerate(row, start=1):
            if there != here and chance >= LEAST:
                yield _arrow(PLACES[here], PLACES[there], chance)


def _arrow(tail: tuple[float, float], head: tuple[float, float], chance: float) -> dict[str, Any]:
    """A little to its left, so that there and back are two arrows."""
    across = (0.035 * (tail[1] - head[1]), 0.035 * (head[0] - tail[0]))
    (x, y), (ax, ay) = ((end[0] + across[0], end[1] + across[1]) for end in (head, tail))
    look = {"arrowcolor": "#555555", "arrowwidth": 0.5 + 3 * chance, "arrowhead": 2, "arrowsize": 0.7}
    ends = {"x": x, "y": y, "ax": ax, "ay": ay, "xref": "x", "yref": "y", "axref": "x", "ayref": "y"}
    return {**ends, **look, "showarrow": True, "text": "", "standoff": 36, "startstandoff": 36, "opacity": 0.7}
