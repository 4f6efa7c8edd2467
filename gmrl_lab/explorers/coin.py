"""Lesson 04's first picture: why the mean of f is not f of the mean, on a coin, exactly."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from gmrl_lab.explorers.controls import powers_of_two, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

THROWS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Bend:
    """A function of the share of heads, its curvature, and the steepest that it gets on [0, 1]."""

    f: Callable[[float], float]
    curvature: float
    lipschitz: float
    code: str


BENDS = {
    "x²": Bend(lambda x: x * x, 2.0, 2.0, "x**2"),
    "x": Bend(lambda x: x, 0.0, 1.0, "x"),
    "x(1−x)": Bend(lambda x: x * (1 - x), -2.0, 1.0, "x * (1 - x)"),
    "|x−½|": Bend(lambda x: abs(x - 0.5), math.nan, 1.0, "abs(x - 0.5)"),
}
"""The last one has a kink, so no curvature there."""
_WORDS = {"x²": "bends up", "x": "does not bend", "x(1−x)": "bends down", "|x−½|": "has a kink at the fair coin"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    bend: str = toggles({name: f"a function that {_WORDS[name]}" for name in BENDS}, default="x²", label="f")
    n_throws: int = powers_of_two(1, 64, default=2, label="n", help="throws")
    p: float = steps((0.1, 0.3, 0.5, 0.7, 0.9), default=0.5, label="p", help="chance of heads")


@dataclass(frozen=True)
class Result:
    """Shares of heads and their chances; for each number of throws the bias of f and the typical error of the share."""

    settings: Settings
    shares: tuple[float, ...]
    chances: tuple[float, ...]
    biases: tuple[float, ...]
    errors: tuple[float, ...]


def coin(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The coin of lesson 04; keyword arguments set controls by field name at the start. Nothing is random in it.

    Taught in lesson 04.
    """
    return Explorer(Settings, compute, draw, code, title="A coin and a curve", seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Every share of heads with its binomial chance; exact, whatever the seed."""
    f, p = BENDS[settings.bend].f, settings.p
    biases, errors = [], []
    for n in THROWS:
        shares, chances = outcomes(n, p)
        biases.append(math.fsum(c * f(x) for x, c in zip(shares, chances, strict=True)) - f(p))
        errors.append(math.fsum(c * abs(x - p) for x, c in zip(shares, chances, strict=True)))
    shares, chances = outcomes(settings.n_throws, p)
    yield 1.0, Result(settings, shares, chances, tuple(biases), tuple(errors))


def outcomes(n_throws: int, p: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shares of heads 0, 1/n, … 1 and their binomial chances."""
    heads = range(n_throws + 1)
    chances = tuple(math.comb(n_throws, k) * p**k * (1 - p) ** (n_throws - k) for k in heads)
    return tuple(k / n_throws for k in heads), chances


def draw(result: Result) -> tuple[go.Figure, str]:
    """The curve with every outcome on it; and the bias against the number of throws, with its two predictions."""
    s = result.settings
    ticks = {"type": "log", "tickvals": THROWS, "ticktext": [str(n) for n in THROWS], "title": {"text": "n, throws"}}
    panels = [
        Panel("f of the share, and its mean", _curve(result), 3, {"title": {"text": "share of heads"}}),
        Panel("|E f(share) − f(p)|", _decay(result), 3, ticks, {"type": "log", "exponentformat": "power"}),
    ]
    now = THROWS.index(s.n_throws)
    mean = result.biases[now] + BENDS[s.bend].f(s.p)
    text = (
        f"f(x) = {s.bend}, p = {s.p:g}, {s.n_throws} throws: the mean of f is {mean:.4g}, f of the mean is "
        f"{BENDS[s.bend].f(s.p):.4g}, the bias {result.biases[now]:.3g}. Second order says {_second_order(s)}. "
        f"The share is typically off by {result.errors[now]:.3g}, and its mean is exactly p. Everything is exact."
    )
    return side_by_side(panels, hovermode="closest"), text


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    n = settings.n_throws
    return "\n".join(
        [
            "import math",
            "",
            f"n, p, f = {n}, {settings.p}, lambda x: {BENDS[settings.bend].code}",
            "chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]",
            "bias = sum(c * f(k / n) for k, c in enumerate(chance)) - f(p)",
            "error = sum(c * abs(k / n - p) for k, c in enumerate(chance))",
            "print(bias, error)",
        ]
    )


def _second_order(s: Settings) -> str:
    """½ f″ p(1 − p)/n."""
    value = 0.5 * BENDS[s.bend].curvature * s.p * (1 - s.p) / s.n_throws
    return "nothing, since a kink has no curvature" if math.isnan(value) else f"{value:.3g}"


def _curve(result: Result) -> list[Trace]:
    s, f = result.settings, BENDS[result.settings.bend].f
    grid = [i / 60 for i in range(61)]
    black, red = {"color": OKABE_ITO["black"], "width": 2}, OKABE_ITO["vermillion"]
    curve: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": grid,
        "y": [f(x) for x in grid],
        "name": "f",
        "line": black,
    }
    sizes = [4 + 40 * math.sqrt(chance) for chance in result.chances]
    dots: Trace = {"type": "scatter", "mode": "markers", "x": result.shares, "y": [f(x) for x in result.shares]}
    dots |= {"name": "every outcome (area: its chance)", "marker": {"size": sizes, **_faint(line_style(0)["marker"])}}
    mean = math.fsum(c * f(x) for x, c in zip(result.shares, result.chances, strict=True))
    above: Trace = {"type": "scatter", "mode": "lines+markers", "x": [s.p, s.p], "y": [f(s.p), mean], "name": "bias"}
    above |= {"line": {"color": red, "width": 4}, "marker": {"symbol": ["circle-open", "diamond"], "size": 12}}
    return [curve, dots, above]


def _decay(result: Result) -> list[Trace]:
    bend, p = BENDS[result.settings.bend], result.settings.p
    rows = {
        "bias, exact": ([abs(b) for b in result.biases], {"color": OKABE_ITO["black"], "width": 2}),
        "½ |f″| · variance": ([0.5 * abs(bend.curvature) * p * (1 - p) / n for n in THROWS], line_style(3)["line"]),
        "steepness · typical error": ([bend.lipschitz * e for e in result.errors], line_style(1)["line"]),
    }
    traces: list[Trace] = []
    for name, (y, line) in rows.items():
        shown = [value if value > 1e-15 else None for value in y]
        traces.append({"type": "scatter", "mode": "lines", "x": THROWS, "y": shown, "name": name, "line": line})
    now = THROWS.index(result.settings.n_throws)
    here: Trace = {"type": "scatter", "mode": "markers", "x": [THROWS[now]], "y": [abs(result.biases[now]) or None]}
    return [
        *traces,
        here | {"marker": {"color": OKABE_ITO["vermillion"], "symbol": "diamond", "size": 12}, "showlegend": False},
    ]


def _faint(marker: dict[str, object]) -> dict[str, object]:
    return {"color": marker["color"], "opacity": 0.55}
