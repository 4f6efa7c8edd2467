"""Verdicts on Figures 3 and 9: differences run by run, and how many runs found cooperation."""

from collections.abc import Iterator, Sequence

import pandas as pd

from gmrl_lab.paper.judging import NOT, READING, Estimate, Verdict, estimate, judge
from gmrl_lab.paper.lola_runs import cooperating, final

Runs = dict[str, pd.Series]
ON_POLICY = "few-few"


def figure_3(table: pd.DataFrame) -> Iterator[Verdict]:
    """Panel by panel."""
    score = final(table)
    yield from _inner(score)
    yield _helps("(b) a better inner gradient raises the return", score, ("many-few", "exact-few"))
    yield _helps("(c) a better Hessian raises the return", score, ("few-many", "few-exact"))
    yield _stored(table, score)


def _inner(score: Runs) -> Iterator[Verdict]:
    """Panel (a): few fail where hardly any run cooperates, and fail more often where better ones raise the return."""
    better = ("inner many", "inner exact")
    gains = [_gain(score, name, "inner few") for name in better]
    all_gain, repaired = all(gain.low > 0 for gain in gains), _gain(score, "inner few, corrected", "inner few")
    yield judge(
        "(a) with few inner samples LOLA fails to cooperate",
        cooperating(score["inner few"])[2] < 0.5,
        f"{_ended(score, 'inner few')}; a baseline fitted to returns alone raises that by {repaired}",
        READING if all_gain else NOT,
    )
    yield judge(
        "(a) with many samples or the exact inner gradient it succeeds",
        all_gain and all(cooperating(score[name])[1] > 0.5 for name in better),
        "; ".join(_ended(score, name) for name in better),
        READING if any(gain.low > 0 for gain in gains) else NOT,
    )


def _helps(claim: str, score: Runs, settings: Sequence[str]) -> Verdict:
    """Both settings have a higher return than the one with few on-policy samples; a reading, if one has."""
    gains = [_gain(score, name, ON_POLICY) for name in settings]
    evidence = ", ".join(f"{name} by {gain}" for name, gain in zip(settings, gains, strict=True))
    some = any(gain.low > 0 for gain in gains)
    return judge(
        claim, all(g.low > 0 for g in gains), f"{evidence}; {_ended(score, ON_POLICY)}", READING if some else NOT
    )


def _stored(table: pd.DataFrame, score: Runs) -> Verdict:
    """Off-policy against on-policy: as published, with more trajectories, and as many of both."""
    unmatched, matched = (_gain(score, name, ON_POLICY) for name in ("off-off", "off-off, matched"))
    effective = final(table, "effective_inner")["off-off"].mean()
    stored = int(table["n_inner"].max())
    return judge(
        "(d) off-policy samples raise the return",
        unmatched.low > 0 and matched.low > 0,
        f"off-off by {unmatched} with {stored} stored trajectories, worth {effective:.3g} fresh ones at the end; "
        f"by {matched} with as many as on-policy",
        READING if unmatched.low > 0 else NOT,
    )


def figure_9(table: pd.DataFrame) -> Iterator[Verdict]:
    """What an exact inner part does to the correlation, and what to the return."""
    for column, words in (("pearson_exact_outer", "with an exact outer part"), ("pearson", "in total")):
        before, after = (_mean(table, column, name) for name in ("inner few", "inner exact"))
        lift = estimate(after - before)
        yield judge(
            f"exact inner estimation lifts the correlation {words}",
            lift.low > 0,
            f"by {lift}, from {before.mean():.2f} to {after.mean():.2f}",
        )
    yield _more_than_the_return(table)
    yield _no_return(table)


def _more_than_the_return(table: pd.DataFrame) -> Verdict:
    """Both lifts as shares of the way to what is exact throughout: correlation 1, and the return of that learner."""
    score, best = final(table), final(table)["exact"].mean()
    gained = (score["inner exact"] - score["inner few"]) / (best - score["inner few"].mean())
    ways = {}
    for column in ("pearson_exact_outer", "pearson"):
        before, after = (_mean(table, column, name) for name in ("inner few", "inner exact"))
        ways[column] = (after - before) / (1 - before.mean())
    excess = estimate(ways["pearson_exact_outer"] - gained)
    shares = {name: estimate(way) for name, way in ways.items()}
    return judge(
        "exact inner estimation lifts the correlation far more than the return",
        excess.low > 0.25,
        f"of the way to exact, {estimate(gained)} of the return's, {shares['pearson']} of the correlation's, "
        f"{shares['pearson_exact_outer']} of that with an exact outer part",
        READING if excess.low > 0 else NOT,
    )


def _no_return(table: pd.DataFrame) -> Verdict:
    """The baseline of the outer part raises the correlation by itself; the look-ahead is exact with either."""
    fitted, published = "inner exact, corrected", "inner exact"
    lift = estimate(_mean(table, "pearson", fitted) - _mean(table, "pearson", published))
    gain = _gain(final(table), fitted, published)
    return judge(
        "a better correlation need not bring a better return",
        lift.low > 0.25 and gain.low < 0 < gain.high,
        f"inner exact, the baseline fitted to returns lifts the correlation by {lift}, the return by {gain}",
    )


def _mean(table: pd.DataFrame, column: str, setting: str) -> pd.Series:
    """A column's mean over all updates, by run."""
    means: pd.Series = table[table["setting"] == setting].groupby("run")[column].mean()
    return means


def _gain(score: Runs, setting: str, over: str) -> Estimate:
    """Difference of final scores, run by run."""
    return estimate((score[setting] - score[over]).dropna())


def _ended(score: Runs, setting: str) -> str:
    """Final score and the share that cooperates."""
    held, low, high = cooperating(score[setting])
    n = len(score[setting])
    return f"{setting} {estimate(score[setting])}, {held * n:.0f} of {n} cooperate [{low:.2f}, {high:.2f}]"
