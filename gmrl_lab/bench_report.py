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
        size = f"{self.enumerated:.2g}" if self.enumerated > ROUNDING else "zero to rounding"
        words = [f"relative bias {size} by enumeration (exact)"]
        if self.closed_form is not None:
            words.append(f"{self.closed_form:.2g} in closed form on the paper's MDP (exact)")
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
        head = "<tr><th>derivative</th><th>claim</th><th>verdict</th><th>because</th><th>variance</th></tr>"
        body = "".join(map(_html_row, self.findings))
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        title = f"<p><b>{html.escape(self.headline)}</b></p>"
        return f'{title}<table style="text-align:left">{head}{body}</table>{notes}'

    def figure(self, what: str = "accuracy") -> Any:
        """Plotly figure of the sweep: "accuracy" or "squared_bias" of the meta-gradient against K, α and n, ± 95%."""
        check_choice("what", what, ("accuracy", "squared_bias"))
        from gmrl_lab import plots

        names = list(dict.fromkeys(point.estimator for point in self.sweep))
        panels: list[plots.Panel] = []
        for setting in dict.fromkeys(point.setting for point in self.sweep):
            traces: list[dict[str, Any]] = []
            for index, name in enumerate(names):
                points = [p for p in self.sweep if (p.setting, p.estimator) == (setting, name)]
                traces += _band(points, what, name, index, legend=not panels)
            panels.append(plots.Panel(setting, traces, x={"type": "log", "tickvals": [p.value for p in points]}))
        return plots.side_by_side(panels)

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        from gmrl_lab.explorers import show

        display(HTML(self._repr_html_()))  # type: ignore[no-untyped-call]
        parts = self.settings["parts"]
        for what, words in (("accuracy", "Correlation with"), ("squared_bias", "Squared relative bias against")):
            display(
                show(self.figure(what), f"{words} the exact meta-gradient, {parts}, MAML on the paper's MDP, ± 95%.")
            )  # type: ignore[no-untyped-call]


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


def _band(points: list[SweepPoint], what: str, name: str, index: int, *, legend: bool) -> list[dict[str, Any]]:
    from gmrl_lab import plots

    middle = [getattr(point, what) for point in points]
    half = [getattr(point, f"{what}_half") for point in points]
    low, high = ([m + sign * h for m, h in zip(middle, half, strict=True)] for sign in (-1, 1))
    line, area = plots.band([point.value for point in points], middle, low, high, name, index)
    marker = plots.line_style(index)["marker"]
    return [area, {**line, "mode": "lines+markers", "marker": marker, "legendgroup": name, "showlegend": legend}]


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
