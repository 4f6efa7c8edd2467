"""What the paper says one should see in its tabular figures, and what the tables say: a number behind each verdict."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from gmrl_lab._validate import check_choice
from gmrl_lab.paper import lola, lola_verdicts
from gmrl_lab.paper.bias import growth, medians
from gmrl_lab.paper.bias import panel as bias_panel
from gmrl_lab.paper.figures import BEYOND, FIGURES
from gmrl_lab.paper.judging import NOT, READING, Verdict, estimate, judge


def verdicts(figure: str, table: pd.DataFrame) -> list[Verdict]:
    """The verdicts on a figure, from its table alone; none for what the paper makes no claim about.

    Args:
        figure: its number in the paper.
        table: what `figure_1` … `figure_9` returned. At small scales the intervals are wide and verdicts negative.

    Raises:
        ValueError: for a figure that there is not.

    Taught in lessons 08, 09, 10, and 12.
    """
    check_choice("figure", figure, (*FIGURES, *lola.FIGURES, *BEYOND))
    return list(_VERDICTS[figure](table)) if figure in _VERDICTS else []


def _by_mdp(table: pd.DataFrame, column: str, **fixed: object) -> pd.Series:
    """A column at fixed settings, one value for each MDP (the mean, where settings are left open)."""
    for name, value in fixed.items():
        table = table[table[name] == value]
    return table.groupby("mdp")[column].mean()


def _figure_1(table: pd.DataFrame) -> Iterator[Verdict]:
    few, many = table["n_trajectories"].min(), table["n_trajectories"].max()
    lvc, ad = (table[table["panel"] == panel] for panel in "ab")
    rise = {
        p: estimate(
            _by_mdp(lvc, "pearson", parts=p, n_trajectories=many) - _by_mdp(lvc, "pearson", parts=p, n_trajectories=few)
        )
        for p in ("SEE", "ESE", "SSE")
    }
    yield judge(
        "(a) accuracy rises with the sample size",
        all(r.low > 0 for r in rise.values()),
        ", ".join(f"{p} by {r}" for p, r in rise.items()),
    )
    gap = estimate(_by_mdp(lvc, "pearson", parts="ESE") - _by_mdp(lvc, "pearson", parts="SEE"))
    yield judge("(a) inner update and Hessian matter alike for LVC", abs(gap.mean) + gap.half < 0.1, f"ESE − SEE {gap}")
    ends = {p: estimate(_by_mdp(ad, "pearson", parts=p, n_trajectories=many)) for p in ("SEE", "ESE", "SSE")}
    holds = ends["SEE"].low > 0.95 and max(ends["ESE"].high, ends["SSE"].high) < 0.9
    yield judge(
        "(b) for AD only SEE approaches 1", holds, ", ".join(f"{p} {e} at |τ| = {many}" for p, e in ends.items())
    )
    yield from _lirpg(table[table["panel"].isin(["c", "d"])])


def _lirpg(table: pd.DataFrame) -> Iterator[Verdict]:
    table = table[table["grad_baseline"].astype(bool)]
    last = table["n_inner_steps"].max()

    def accuracy(estimator: str, steps: int) -> pd.Series:
        return _by_mdp(table, "pearson", estimator=estimator, n_inner_steps=steps)

    apart = (accuracy("LVC", 1) - accuracy("AD", 1)).abs().max()
    yield judge("LIRPG at K = 1: LVC and AD alike", apart < 1e-9, f"largest difference {apart:.1g}")
    high, drop = estimate(accuracy("LVC", last)), estimate(accuracy("AD", 1) - accuracy("AD", last))
    yield judge(
        "LVC stays high as K grows, AD drops",
        high.low > 0.8 and drop.low > 0.1,
        f"at K = {last} LVC {high}; AD falls by {drop}",
    )


def _figure_2(table: pd.DataFrame) -> Iterator[Verdict]:
    for panel, x, claim in (
        ("a", "n_inner_steps", "(a) log bias about linear in K"),
        ("b", "inner_lr", "(b) log bias concave in α"),
    ):
        part = bias_panel(table, panel)
        published, debiased = (growth(part, x, y) for y in ("published_bias_squared", "bias_squared"))
        words = f"ln‖bias‖ rises per unit by {debiased.first}, then {debiased.second}, debiased; {_noise_share(part)}"
        concave = debiased.fall.low > 0
        if panel == "a":
            straight = published.fall.low < 0 < published.fall.high and published.whole.low > 0
            yield judge(
                claim, straight and not concave, f"{words}; {_unresolved(part, x)}", READING if straight else NOT
            )
        else:
            yield judge(claim, concave, f"{words}; {_unresolved(part, x)}")
    yield _sample_size(bias_panel(table, "c"))
    yield _injected(bias_panel(table, "d"))


def _sample_size(part: pd.DataFrame) -> Verdict:
    """Panel (c): the published reading falls like |τ|^-½ whatever the bias does, for so does its noise."""
    published, debiased = (
        growth(part, "n_trajectories", y, log_x=True).whole for y in ("published_bias_squared", "bias_squared")
    )
    linear, only_noise = published.low < -0.5 < published.high, debiased.high < -0.75
    slopes = f"slope {published} as published, {debiased} debiased"
    return judge(
        "(c) log bias falls linearly in log |τ|, like |τ|^-½",
        linear and debiased.low > -0.75,
        f"{slopes}; {_noise_share(part)}; {_unresolved(part, 'n_trajectories')}",
        READING if linear and only_noise else NOT,
    )


def _injected(part: pd.DataFrame) -> Verdict:
    """Panel (d): a line through 0 is concave on a logarithmic axis; its log-log slope is 1, and K only far beyond."""
    slopes = [
        growth(one.assign(squared=one["bias"] ** 2), "curvature", "squared", log_x=True).whole
        for _, one in part.groupby("inner_lr")
    ]
    ends = [min(slope.low for slope in slopes), max(slope.high for slope in slopes)]
    evidence = (
        f"log-log slope {ends[0]:.2f} to {ends[1]:.2f} at all α: the concavity is that of the logarithm of a line"
    )
    return judge("(d) log bias concave in the Hessian error", ends[0] > 0.8 and ends[1] < 1.2, evidence)


def _noise_share(part: pd.DataFrame) -> str:
    share = (part["published_variance"] / part["published_bias_squared"]).median()
    return f"tr Σ/10 is {share:.2f} of what is published"


def _unresolved(part: pd.DataFrame, x: str) -> str:
    """The points where the interval of the median over MDPs reaches down to 0."""
    at = medians(part, x, "bias_squared")
    names = ", ".join(f"{value:g}" for value in at[~at["resolved"]][x])
    return f"not resolved from 0 at {names}" if names else "resolved from 0 at every point"


def _figure_5(table: pd.DataFrame) -> Iterator[Verdict]:
    def accuracy(estimator: str, parts: str) -> pd.Series:
        return _by_mdp(table, "pearson", estimator=estimator, parts=parts)

    lvc = {p: estimate(accuracy("LVC", p) - accuracy("LVC", "EES")) for p in ("SEE", "ESE")}
    yield judge(
        "the outer estimate matters most",
        all(e.low > 0 for e in lvc.values()),
        ", ".join(f"{p} − EES {e}" for p, e in lvc.items()),
    )
    yield _worst(table)
    alike = estimate(accuracy("LVC", "SSS") - accuracy("Loaded DiCE", "SSS"))
    yield judge(
        "LVC and Loaded DiCE alike in correlation",
        abs(alike.mean) + alike.half < 0.1,
        f"SSS, LVC − Loaded DiCE {alike}",
    )
    trace = [_by_mdp(table, "covariance_trace", estimator=e, parts="ESE") for e in ("Loaded DiCE", "LVC")]
    times = trace[0] / trace[1]
    ratio = estimate(times[times > 0].map(np.log))
    yield judge(
        "LVC has less variance than Loaded DiCE",
        ratio.low > 0,
        f"ESE, variance ratio {np.exp(ratio.mean):.2g}, at least {np.exp(ratio.low):.2g}",
    )
    worse = {p: estimate(accuracy("LVC", p) - accuracy("AD", p)) for p in ("ESE", "SSE", "ESS", "SSS")}
    yield judge(
        "AD worse wherever the Hessian is sampled",
        all(e.low > 0 for e in worse.values()),
        ", ".join(f"{p} LVC − AD {e}" for p, e in worse.items()),
    )


def _worst(table: pd.DataFrame) -> Verdict:
    """How often DiCE has the lowest mean accuracy, over all ways to sample and all points."""
    points = table.groupby(["parts", "n_trajectories", "estimator"])["pearson"].mean().unstack("estimator")
    share = float((points.idxmin(axis=1) == "DiCE").mean())
    exceptions = points[points.idxmin(axis=1) != "DiCE"].index.tolist()
    words = ", ".join(f"{parts} at |τ| = {n}" for parts, n in exceptions) or "none"
    return judge(
        "DiCE worst everywhere",
        share == 1.0,
        f"worst in {share:.0%} of the points; exceptions: {words}",
        READING if share > 0.75 else NOT,
    )


def _inner_dominates(column: str) -> Callable[[pd.DataFrame], Iterator[Verdict]]:
    """Figures 6 and 7: how SEE and EES part as the axis grows."""

    def judged(table: pd.DataFrame) -> Iterator[Verdict]:
        lvc = table[table["estimator"] == "LVC"]
        ends = [lvc[column].min(), lvc[column].max()]
        lead = [
            estimate(
                _by_mdp(lvc, "pearson", parts="EES", **{column: end})
                - _by_mdp(lvc, "pearson", parts="SEE", **{column: end})
            )
            for end in ends
        ]
        evidence = ", ".join(f"EES − SEE {e} at {end:g}" for e, end in zip(lead, ends, strict=True))
        more = lead[1].mean > lead[0].mean
        yield judge(
            "the inner update's error comes to dominate", lead[1].low > 0, f"LVC, {evidence}", READING if more else NOT
        )

    return judged


_VERDICTS: dict[str, Callable[[pd.DataFrame], Iterator[Verdict]]] = {
    "1": _figure_1,
    "2": _figure_2,
    "3": lola_verdicts.figure_3,
    "5": _figure_5,
    "6": _inner_dominates("inner_lr"),
    "7": _inner_dominates("n_inner_steps"),
    "8": _lirpg,
    "9": lola_verdicts.figure_9,
}
