"""A drawing of an MDP small enough to see: states as circles, actions as arrows with probabilities and rewards."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from torch import Tensor

from gmrl_lab._validate import bad, check_trailing
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.plots import OKABE_ITO, base_layout, line_style

Point = tuple[float, float]

RADIUS = 0.19
MAX_ARROWS = 8
_LOOP = 0.62  # how far a loop stands off its state


@dataclass(frozen=True)
class _Arrow:
    """One way from state to state: which action, how likely the policy takes it, how likely it leads there."""

    start: int
    action: int
    end: int
    taken: float
    leads: float
    reward: float
    turn: int  # how many arrows go the same way: each is bent a little more


def draw_mdp(
    mdp: TabularMDP,
    policy: Tensor | None = None,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> tuple[go.Figure, str]:
    """A figure of a small MDP, and one line of text that says the same.

    An arrow is labelled with its action, the policy's probability of it, where it is not certain the probability
    that it leads there, and its reward; it is the thicker, the more often the policy takes it.

    Args:
        mdp: one MDP, no batch, of 2 to 4 states, with at most 8 ways (s, a, s') of positive probability.
        policy: probabilities `(S, A)`; uniform if left out, and then not written on the arrows.
        state_names, action_names: one for each; numbers if left out.

    Raises:
        ValueError: for another size, or the wrong number of names.

    Taught in lesson 01.
    """
    states = _names("state_names", state_names, mdp.n_states, "state")
    actions = _names("action_names", action_names, mdp.n_actions, "action")
    if mdp.batch_shape or not 2 <= mdp.n_states <= 4 or int((mdp.transitions > 0).sum()) > MAX_ARROWS:
        raise bad("mdp", mdp, f"one MDP of 2 to 4 states and at most {MAX_ARROWS} ways from state to state, to draw it")
    if policy is not None:
        check_trailing("policy", policy, (mdp.n_states, mdp.n_actions))
    arrows = list(_arrows(mdp, policy))
    places = _places(mdp.n_states)
    figure = go.Figure(layout=base_layout(height=330 if mdp.n_states == 2 else 460, showlegend=False))
    for arrow in arrows:
        _draw_arrow(figure, arrow, places, _label(arrow, actions[arrow.action], policy is not None))
    _draw_states(figure, places, states, int(mdp.start_distribution.argmax()))
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        xaxis=hidden, yaxis={**hidden, "scaleanchor": "x"}, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest"
    )
    return figure, _sentence(arrows, states, actions, policy is not None)


def _names(argument: str, given: Sequence[str] | None, n: int, word: str) -> list[str]:
    names = [f"{word} {i}" for i in range(n)] if given is None else list(given)
    if len(names) != n:
        raise bad(argument, names, f"{n} names")
    return names


def _places(n_states: int) -> list[Point]:
    """Two states side by side; more on a circle, the first on the left."""
    reach = 1.15 if n_states == 2 else 1.5
    angles = [math.pi - 2 * math.pi * i / n_states for i in range(n_states)]
    return [(reach * math.cos(angle), reach * math.sin(angle)) for angle in angles]


def _arrows(mdp: TabularMDP, policy: Tensor | None) -> Iterator[_Arrow]:
    transitions, rewards = mdp.transitions.detach().tolist(), mdp.rewards.detach().tolist()
    taken = None if policy is None else policy.detach().tolist()
    turns: dict[tuple[int, int], int] = {}
    for s, rows in enumerate(transitions):
        for a, row in enumerate(rows):
            for end, leads in enumerate(row):
                if leads > 0:
                    turn = turns[s, end] = turns.get((s, end), -1) + 1
                    yield _Arrow(s, a, end, taken[s][a] if taken else 1 / mdp.n_actions, leads, rewards[s][a], turn)


def _draw_arrow(figure: go.Figure, arrow: _Arrow, places: list[Point], label: str) -> None:
    path = _loop(places, arrow) if arrow.start == arrow.end else _bow(places, arrow)
    width = 1 + 4 * arrow.taken * arrow.leads
    style = line_style(arrow.action)["line"] | {"width": width}
    x, y = zip(*path[:-2])
    figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=style, hoverinfo="skip"))
    (tail_x, tail_y), (x1, y1) = path[-4], path[-1]
    figure.add_annotation(
        x=x1, y=y1, ax=tail_x, ay=tail_y, xref="x", yref="y", axref="x", ayref="y", showarrow=True, arrowhead=2,
        arrowsize=1, arrowwidth=max(width, 2.0), arrowcolor=style["color"], text="",
    )  # fmt: skip
    x0, y0 = path[len(path) // 2]
    ink = OKABE_ITO["black"]
    figure.add_annotation(x=x0, y=y0, text=label, showarrow=False, bgcolor="#ffffff", font={"color": ink, "size": 13})


def _draw_states(figure: go.Figure, places: list[Point], names: Sequence[str], start: int) -> None:
    for i, (x, y) in enumerate(places):
        rim = {"color": OKABE_ITO["black"], "width": 4 if i == start else 1.5}
        corners = {"x0": x - RADIUS, "x1": x + RADIUS, "y0": y - RADIUS, "y1": y + RADIUS}
        figure.add_shape(type="circle", **corners, line=rim, fillcolor="#f4f4f4", layer="above")
        note = "<br><i>start</i>" if i == start else ""
        figure.add_annotation(x=x, y=y, text=f"<b>{names[i]}</b>{note}", showarrow=False, font={"size": 14})


def _bow(places: list[Point], arrow: _Arrow) -> list[Point]:
    """From rim to rim, bent to the left of the way, so that there and back are two different arrows."""
    (x0, y0), (x1, y1) = places[arrow.start], places[arrow.end]
    length = math.hypot(x1 - x0, y1 - y0)
    away = 0.34 + 0.32 * arrow.turn
    middle = ((x0 + x1) / 2 - 2 * away * (y1 - y0) / length, (y0 + y1) / 2 + 2 * away * (x1 - x0) / length)
    return _outside(_bezier(places[arrow.start], middle, middle, places[arrow.end]), places, arrow)


def _loop(places: list[Point], arrow: _Arrow) -> list[Point]:
    """Out of a state and back in, on the side that faces away from the others."""
    x, y = places[arrow.start]
    angle, far = math.atan2(y, x), (_LOOP + 0.35 * arrow.turn) * 4 / 3
    out, back = ((x + far * math.cos(angle + turn), y + far * math.sin(angle + turn)) for turn in (0.75, -0.75))
    return _outside(_bezier((x, y), out, back, (x, y)), places, arrow)


def _bezier(start: Point, one: Point, two: Point, end: Point, n: int = 80) -> list[Point]:
    """A cubic curve."""
    weights = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3) for t in (i / n for i in range(n + 1))]
    corners = (start, one, two, end)
    return [
        (sum(w * x for w, (x, _) in zip(row, corners)), sum(w * y for w, (_, y) in zip(row, corners)))
        for row in weights
    ]


def _outside(path: list[Point], places: list[Point], arrow: _Arrow) -> list[Point]:
    """The part of a path that lies outside the two circles that it joins."""
    ends = (places[arrow.start], places[arrow.end])
    return [p for p in path if all(math.dist(p, end) > RADIUS + 0.015 for end in ends)]


def _label(arrow: _Arrow, action: str, with_policy: bool) -> str:
    parts = [f"<b>{action}</b>" + (f" {arrow.taken:.3g}" if with_policy else "")]
    if arrow.leads < 1:
        parts.append(f"leads here {arrow.leads:.3g}")
    return "<br>".join([*parts, f"reward {arrow.reward:.3g}"])


def _sentence(arrows: Sequence[_Arrow], states: Sequence[str], actions: Sequence[str], with_policy: bool) -> str:
    clauses = []
    for arrow in arrows:
        taken = f" (probability {arrow.taken:.3g})" if with_policy else ""
        leads = "" if arrow.leads == 1 else f" with probability {arrow.leads:.3g}"
        clauses.append(
            f"in {states[arrow.start]}, {actions[arrow.action]}{taken} pays {arrow.reward:.3g} "
            f"and leads to {states[arrow.end]}{leads}"
        )
    return f"{len(states)} states, {len(actions)} actions: " + "; ".join(clauses) + "."
