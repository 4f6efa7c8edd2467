"""The picture of one meta-gradient: φ enters each inner update, and what it moves there goes through all later ones."""

from collections.abc import Sequence
from typing import Any

from gmrl_lab.plots import OKABE_ITO, Trace

_HIDDEN: dict[str, Any] = {"visible": False, "fixedrange": True}
_TOP, _BOTTOM = 1.0, -0.75
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NODES = {
    "θ": ("circle", "#f4f4f4"),
    "τ": ("square", "#e4eef6"),
    "φ": ("diamond", "#dff2ea"),
    "L": ("hexagon", "#fdf0e0"),
}


def axes(n_inner_steps: int) -> dict[str, dict[str, Any]]:
    """Axis properties of the picture's panel, as `x` and `y` of a `Panel`."""
    return {"x": {**_HIDDEN, "range": [-0.35, n_inner_steps + 1.35]}, "y": {**_HIDDEN, "range": [-1.05, 1.3]}}


def graph(
    n_inner_steps: int, shares: Sequence[str] | None = None, doubtful: str = OKABE_ITO["vermillion"]
) -> tuple[list[Trace], list[dict[str, Any]]]:
    """Traces, and arrows as annotations of the panel's axes.

    Green arrows are the D_k, right with every estimator; coloured ones the X_k = I + αH_k that the estimators differ
    in, each with a thin one below, by which θᵏ draws the batch τ_k; the grey ones are in no derivative, since θ⁰ does
    not depend on φ.

    Args:
        n_inner_steps: K.
        shares: what to write on each green arrow; its name αD_k if left out.
        doubtful: colour of the factors X_k.
    """
    names = [f"αD{_low(k)}" for k in range(n_inner_steps)] if shares is None else list(shares)
    arrows: list[dict[str, Any]] = []
    top = (n_inner_steps / 2, _TOP)
    for k in range(n_inner_steps):
        carried = k > 0
        colour, label = (doubtful, f"X{_low(k)}") if carried else ("#999999", "no φ")
        arrows += [_arrow((k, 0), (k + 1, 0), colour, 3 if carried else 1.5), _words(k + 0.5, 0.11, label, colour)]
        arrows.append(_arrow((k, 0), (k + 0.5, _BOTTOM), colour, 1.2))
        arrows.append(_arrow((k + 0.5, _BOTTOM), (k + 0.5, -0.06), "#777777", 1.2, 16, 0))
        arrows.append(_arrow(top, (k + 1, 0), OKABE_ITO["bluish green"], 2.5))
        arrows.append(_words(0.28 * top[0] + 0.72 * (k + 1), 0.28 * _TOP, names[k], "#00614a", "#ffffff"))
    arrows.append(_arrow((n_inner_steps, 0), (n_inner_steps + 1, 0), OKABE_ITO["blue"], 2.5))
    arrows.append(_words(n_inner_steps + 0.5, 0.11, "v", OKABE_ITO["blue"]))
    arrows.append(_arrow((n_inner_steps, 0), (n_inner_steps + 1, _BOTTOM), OKABE_ITO["blue"], 1.2))
    arrows.append(_arrow((n_inner_steps + 1, _BOTTOM), (n_inner_steps + 1, 0), "#777777", 1.2))
    return [_nodes(n_inner_steps)], arrows


def words(n_inner_steps: int) -> str:
    """The picture in one line of text."""
    chain = " → ".join(f"θ{str(k).translate(_SUPERSCRIPT)}" for k in range(n_inner_steps + 1))
    return (
        f"{chain} → outer loss L. Each θᵏ draws a batch τₖ, from which the next update is made, and the last of "
        f"all the outer loss. φ enters every update by αD; what it moved in one passes through X = I + αH of every "
        f"later one. H₀ is never needed, since no φ has reached θ⁰."
    )


def _nodes(n_inner_steps: int) -> Trace:
    """All circles, squares and letters as one trace."""
    end = n_inner_steps + 1
    nodes = [("θ", f"θ{str(k).translate(_SUPERSCRIPT)}", float(k), 0.0) for k in range(end)]
    nodes += [("τ", f"τ{_low(k)}", k + 0.5, _BOTTOM) for k in range(n_inner_steps)]
    nodes += [("τ", f"τ{_low(n_inner_steps)}", float(end), _BOTTOM), ("L", "L", float(end), 0.0)]
    nodes.append(("φ", "φ", n_inner_steps / 2, _TOP))
    looks = [_NODES[kind] for kind, *_ in nodes]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [x for *_, x, _ in nodes],
        "y": [y for *_, y in nodes],
        "text": [f"<b>{name}</b>" for _, name, *_ in nodes],
        "marker": {
            "symbol": [symbol for symbol, _ in looks],
            "color": [colour for _, colour in looks],
            "size": [34 if kind == "φ" else 28 for kind, *_ in nodes],
            "line": {"color": "#444444", "width": 1.2},
        },
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _arrow(
    tail: tuple[float, float], head: tuple[float, float], colour: str, width: float, away: float = 16, gap: float = 16
) -> dict[str, Any]:
    ends = {
        "x": head[0],
        "y": head[1],
        "ax": tail[0],
        "ay": tail[1],
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
    }
    look = {"arrowcolor": colour, "arrowwidth": width, "arrowhead": 2, "arrowsize": 0.8, "text": "", "showarrow": True}
    return {**ends, **look, "startstandoff": away, "standoff": gap}


def _words(x: float, y: float, text: str, colour: str, paper: str = "rgba(0, 0, 0, 0)") -> dict[str, Any]:
    place = {"x": x, "y": y, "xref": "x", "yref": "y", "showarrow": False}
    return {**place, "text": text, "font": {"color": colour, "size": 11}, "bgcolor": paper}


def _low(k: int) -> str:
    return str(k).translate(_SUBSCRIPT)
