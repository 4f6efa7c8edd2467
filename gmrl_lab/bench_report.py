"""The report of `gl.bench_estimator`: its numbers, its verdicts, and how they look as text, page, figure and file."""

import csv
import html
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gmrl_lab._files import write_text
from gmrl_lab._validate import check_choice

ROUNDING = 1e-9
"""Relative differences below this are rounding: enumeration of an unbiased estimator ends near 1e-15."""

WORDS = {
    "accuracy": ("Correlation with the exact meta-gradient", 1.0),
    "squared_bias": ("Squared relative bias of the meta-gradient", 0.0),
}
"""What a sweep shows, and what the exact meta-gradient has of it."""

AXES = {"K": "K, inner steps", "α": "α, inner learning rate", "n": "n, trajectories"}

FALSE_ALARM = 1e-4
"""Probability that the sampled test of one derivative rejects an estimator without bias."""


@dataclass(frozen=True)
class Finding:
    """One derivative, its claim, and what was found; biases are relative to the norm of the true derivative.

    Args:
        quantity: "first" or "second", on-policy, or with " off-policy" after it.
        claim: "unbiased", "biased", or None for no claim.
        enumerated: bias over all samples of the tiny MDPs, taken together; exact.
        other_target: the same against the target with the other end, with bootstrap or without.
        closed_form: bias of `expected_surrogate` on the paper's MDP, exact; None without a right one.
        squared_bias, standard_error: debiased squared bias on the paper's MDP, sampled; None off-policy.
        statistic, critical: largest |t| of the sampled errors, and the value that `FALSE_ALARM` allows.
        resolution: a bias along the true derivative of this size would have been seen half of the time.
        variance: tr Σ / ‖truth‖² of one estimate.

    Taught in lesson 05.
    """

    quantity: str
    claim: str | None
    enumerated: float
    other_target: float
    closed_form: float | None = None
    squared_bias: float | None = None
    standard_error: float | None = None
    statistic: float | None = None
    critical: float | None = None
    resolution: float | None = None
    variance: float | None = None

    @property
    def rejected(self) -> bool:
        """Whether the sampled errors on the paper's MDP exclude that their mean is zero."""
        return self.statistic is not None and self.critical is not None and self.statistic > self.critical

    @property
    def biased(self) -> bool:
        """By enumeration or by its closed form, without doubt; or by samples, up to `FALSE_ALARM`."""
        return max(self.enumerated, self.closed_form or 0.0) > ROUNDING or self.rejected

    @property
    def verdict(self) -> str:
        """The claim against what was found: "confirmed", "refuted" or "no claim"."""
        if self.claim is None:
            return "no claim"
        return "confirmed" if self.claim == ("biased" if self.biased else "unbiased") else "refuted"

    @property
    def reason(self) -> str:
        """The numbers behind the verdict, in words."""
        words = [f"relative bias {_size(self.enumerated)} by enumeration (exact)"]
        if self.closed_form is not None:
            words.append(f"{_size(self.closed_form)} in closed form on the paper's MDP (exact)")
        if self.statistic is not None:
            compared = f"{self.statistic:.1f} {'>' if self.rejected else '≤'} {self.critical:.1f}"
            words.append(f"|t| = {compared} on samples there (false alarms: {FALSE_ALARM:g})")
        if not self.biased and self.resolution is not None:
            words.append(f"where a bias of {self.resolution:.2g} would have been seen")
        if self.enumerated > ROUNDING > self.other_target:
            words.append("zero against the other target: should `bootstrap` be the other way round?")
        return "; ".join(words)


@dataclass(frozen=True)
class SweepPoint:
    """A meta-gradient estimate at one setting: mean accuracy ± 95%, debiased squared bias / ‖exact‖² ± 95%.

    Taught in lesson 05.
    """

    setting: str
    value: float
    estimator: str
    accuracy: float
    accuracy_half: float
    squared_bias: float
    squared_bias_half: float


@dataclass(frozen=True)
class Report:
    """What `gl.bench_estimator` found; a notebook shows it as a page.

    Args:
        name: of the estimator.
        settings: seed, sizes and the like: all that is needed to run it again.
        findings: one for each derivative.
        closed_form_error: largest relative error of `expected_surrogate` against enumeration; None without one.
        seconds, seconds_of_ad: one meta-gradient with all three parts sampled, median; the same by AD in turn.
        sweep: accuracy and bias of the meta-gradient as K, α and n move, beside known estimators.

    Taught in lesson 05.
    """

    name: str
    settings: Mapping[str, object]
    findings: tuple[Finding, ...]
    closed_form_error: float | None
    seconds: float
    seconds_of_ad: float
    sweep: tuple[SweepPoint, ...]

    @property
    def closed_form_agrees(self) -> bool | None:
        """Whether `expected_surrogate` is the mean over all samples; None if the estimator has none."""
        return None if self.closed_form_error is None else self.closed_form_error <= ROUNDING

    @property
    def confirmed(self) -> bool:
        """Whether every claim is confirmed, `expected_surrogate` included."""
        return self.closed_form_agrees is not False and all(row.verdict != "refuted" for row in self.findings)

    def finding(self, quantity: str) -> Finding:
        """The finding about "first", "second", "first off-policy" or "second off-policy"."""
        check_choice("quantity", quantity, tuple(row.quantity for row in self.findings))
        return next(row for row in self.findings if row.quantity == quantity)

    def table(self) -> list[dict[str, object]]:
        """All numbers as rows: findings, cost, and the points of the sweep."""
        cost = {
            "seconds": self.seconds,
            "seconds_of_ad": self.seconds_of_ad,
            "ratio": self.seconds / self.seconds_of_ad,
        }
        rows = [{"section": "finding", **asdict(row), "verdict": row.verdict} for row in self.findings]
        rows += [{"section": "expected_surrogate", "error": self.closed_form_error, "agrees": self.closed_form_agrees}]
        return [*rows, {"section": "cost", **cost}, *({"section": "sweep", **asdict(point)} for point in self.sweep)]

    def to_csv(self, path: str | Path) -> None:
        """Write `table()` as CSV: to a temporary name, then renamed."""
        rows, file = self.table(), io.StringIO()
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(Path(path), file.getvalue())

    def to_json(self, path: str | Path) -> None:
        """Write name, settings, result and `table()` as JSON: to a temporary name, then renamed."""
        whole = {"name": self.name, "settings": dict(self.settings), "confirmed": self.confirmed, "rows": self.table()}
        write_text(Path(path), json.dumps(_plain(whole), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(f"{_label(row)}: {row.reason}." for row in self.findings), *self._notes()])

    @property
    def headline(self) -> str:
        """The verdicts in one line."""
        claimed = [row for row in self.findings if row.claim]
        parts = [f"{_order(row)} {row.claim}: {row.verdict}" for row in claimed]
        return f"{self.name}. " + ("; ".join(parts) or "Nothing claimed") + "."

    def _notes(self) -> list[str]:
        notes = [
            f"Cost: {1e3 * self.seconds:.3g} ms for a meta-gradient, {self.seconds / self.seconds_of_ad:.2f} times AD."
        ]
        if self.closed_form_agrees is False:
            notes.append(f"expected_surrogate is wrong: off by {self.closed_form_error:.2g} from the enumeration.")
        elif self.closed_form_agrees:
            notes.append("expected_surrogate agrees with the enumeration.")
        return notes

    def _repr_html_(self) -> str:
        names = ("derivative", "claim", "verdict", "because", "variance")
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
        body = "".join(map(_html_row, self.findings))
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<p><b>{html.escape(self.headline)}</b></p><table><tr>{head}</tr>{body}</table>{notes}"

    def figure(self, what: str = "accuracy") -> tuple[Any, str]:
        """Plotly figure of the sweep, and its text, for `gl.explorers.show(*report.figure())`.

        Args:
            what: "accuracy" or "squared_bias" of the meta-gradient, against K, α and n, ± 95%.

        Raises:
            ValueError: for anything else.

        Taught in lesson 05.
        """
        check_choice("what", what, tuple(WORDS))
        from gmrl_lab import plots

        panels: list[plots.Panel] = []
        for setting, axis in AXES.items():
            points = [point for point in self.sweep if point.setting == setting]
            values = list(dict.fromkeys(point.value for point in points))
            x = {"type": "log", "tickvals": values, "title": {"text": axis}}
            y = {} if panels else {"title": {"text": WORDS[what][0]}}
            panels.append(plots.Panel("", _traces(points, what, legend=not panels), x=x, y=y))
        return plots.side_by_side(panels), self._caption(what)

    def _caption(self, what: str) -> str:
        first = [point for point in self.sweep if point.setting == "K"]
        numbers = [
            f"{point.estimator} {getattr(point, what):.2g} ± {getattr(point, f'{what}_half'):.1g}"
            for point in first
            if point.value == first[0].value
        ]
        where = f"{self.settings['parts']}, MAML on the paper's MDP; at K = {first[0].value:g}, α = 10, n = 16"
        return f"{WORDS[what][0]}, {where}: {', '.join(numbers)} (95% intervals)."

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        display(HTML(self._repr_html_()))  # type: ignore[no-untyped-call]
        try:
            from gmrl_lab.explorers import show
        except ImportError:
            return
        for what in WORDS:
            display(show(*self.figure(what)))  # type: ignore[no-untyped-call]


def _size(bias: float) -> str:
    return f"{bias:.2g}" if bias > ROUNDING else "zero to rounding"


def _label(row: Finding) -> str:
    return f"{_order(row)}, " + (f"claimed {row.claim}, {row.verdict}" if row.claim else "no claim")


def _order(row: Finding) -> str:
    order, _, where = row.quantity.partition(" ")
    return f"{order} order {where}".rstrip()


def _html_row(row: Finding) -> str:
    mark = {"confirmed": "✓ confirmed", "refuted": "✗ refuted"}.get(row.verdict, "–")
    variance = "" if row.variance is None else f"{row.variance:.3g}"
    cells = (_order(row), row.claim or "none", mark, row.reason, variance)
    return "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in cells) + "</tr>"


def _traces(points: list[SweepPoint], what: str, *, legend: bool) -> list[dict[str, Any]]:
    """A line with its band for each estimator, and what the exact meta-gradient has."""
    from gmrl_lab import plots

    traces = []
    for index, name in enumerate(dict.fromkeys(point.estimator for point in points)):
        own = [point for point in points if point.estimator == name]
        middle = [getattr(point, what) for point in own]
        half = [getattr(point, f"{what}_half") for point in own]
        low, high = ([m + sign * h for m, h in zip(middle, half, strict=True)] for sign in (-1, 1))
        x = [point.value for point in own]
        line, area = plots.band(x, middle, low, high, name, index)
        marker = plots.line_style(index)["marker"]
        traces += [area, line | {"mode": "lines+markers", "marker": marker, "legendgroup": name, "showlegend": legend}]
    exact = {"type": "scatter", "mode": "lines", "x": x, "y": [WORDS[what][1]] * len(x), "name": "exact"}
    return [*traces, exact | {"line": {"color": "black"}, "legendgroup": "exact", "showlegend": legend}]


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
