"""Bring your own estimator: true claims are confirmed, wrong ones refuted, and the numbers are those of other routes.

The verdicts of enumeration are exact. The sampled test has a false-alarm rate of 1e-4 for each derivative; here its
seeds are fixed.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers import derivatives
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import bench, bench_bias, exact
from gmrl_lab.bench_report import FALSE_ALARM, Finding, Report
from gmrl_lab.flow import Flow

SMALL = bench.Scale(80, 4, (1,), (10.0,), (4, 8), 1)
TRUE_CLAIMS = {"first": "unbiased", "second": "biased"}
ALL_UNBIASED = dict.fromkeys(bench.QUANTITIES, "unbiased")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SCALES, "small", SMALL)


def run(estimator: object, claim: object = "unbiased", **options: object) -> Report:
    """A small report; the same one for the same arguments."""
    frozen = claim if isinstance(claim, str) else tuple(claim.items())
    return once(estimator, frozen, tuple(options.items()))


@cache
def once(
    estimator: object, claim: str | tuple[tuple[str, str], ...], options: tuple[tuple[str, object], ...]
) -> Report:
    given = claim if isinstance(claim, str) else dict(claim)
    return gl.bench_estimator(estimator, given, **{"scale": "small", "progress": False, **dict(options)})


@dataclass(frozen=True)
class Clipped:
    """Loaded DiCE with each ratio clipped at 1.2: right on-policy, where all are 1, and wrong off-policy."""

    def surrogate(self, steps: gl.Steps) -> Tensor:
        ratio = steps.ratio.clamp(max=1.2)
        past = torch.cat([torch.ones_like(ratio[..., :1]), ratio.cumprod(-1)[..., :-1]], -1)
        return (steps.weights * steps.advantage * past * (ratio - 1)).sum(-1).mean(-1)


@dataclass(frozen=True)
class Scaled:
    """Loaded DiCE, two per cent too large."""

    factor: float = 1.02

    def surrogate(self, steps: gl.Steps) -> Tensor:
        return self.factor * gl.LoadedDiCE().surrogate(steps)


@dataclass(frozen=True)
class WrongExpectation(gl.LVC):
    """LVC, whose expectation is off in one derivative alone: (θ − ⊥θ)ᵖ has but the p-th."""

    order: int = 2

    def _expected(self, flow: Flow) -> Tensor:
        return super()._expected(flow) + 0.01 * (flow.theta - flow.theta.detach()).pow(self.order).sum((-1, -2))


@dataclass(frozen=True)
class Forgetful:
    """Loaded DiCE that drops everything from the fourth step on: right on every problem of three steps."""

    def surrogate(self, steps: gl.Steps) -> Tensor:
        early = torch.arange(steps.reward.shape[-1]) < 3
        return gl.LoadedDiCE().surrogate(replace(steps, weight=steps.weights * early))


@dataclass(frozen=True)
class Plain:
    """DiCE that does not say that it leaves the values alone."""

    def surrogate(self, steps: gl.Steps) -> Tensor:
        return gl.DiCE().surrogate(steps)


# --- verdicts -----------------------------------------------------------------------------------------------------
WRONG = {
    "AD claims an unbiased Hessian": (gl.AD(), "unbiased", {"second"}),
    "LVC claims an unbiased Hessian": (gl.LVC(), "unbiased", {"second"}),
    "LVC claims a biased gradient": (gl.LVC(), "biased", {"first"}),
    "Loaded DiCE claims bias": (gl.LoadedDiCE(), "biased", {"first", "second"}),
    "clipped claims to serve off-policy": (Clipped(), ALL_UNBIASED, {"first off-policy", "second off-policy"}),
    "TayPO-2 claims to serve off-policy": (gl.TayPO2(), ALL_UNBIASED, {"first off-policy", "second off-policy"}),
    "scaled by 1.02": (Scaled(), "unbiased", {"first", "second"}),
    "right for three steps alone": (Forgetful(), "unbiased", {"first", "second"}),
}


@pytest.mark.parametrize(("estimator", "claim", "refuted"), WRONG.values(), ids=WRONG.keys())
def test_wrong_claims_are_refuted(estimator: object, claim: object, refuted: set[str]) -> None:
    report = run(estimator, claim)
    assert {row.quantity for row in report.findings if row.verdict == "refuted"} == refuted
    assert not report.confirmed


TRUE = {
    "AD": (gl.AD(), TRUE_CLAIMS | {"first off-policy": "biased"}),
    "LVC": (gl.LVC(), TRUE_CLAIMS | {"first off-policy": "biased"}),
    "DiCE": (gl.DiCE(), ALL_UNBIASED),
    "Loaded DiCE": (gl.LoadedDiCE(), ALL_UNBIASED),
    "Loaded DiCE, half": (gl.LoadedDiCE(0.5), TRUE_CLAIMS),
    "TayPO-2": (gl.TayPO2(), "unbiased"),
    "clipped, on-policy": (Clipped(), "unbiased"),
    "scaled by 1": (Scaled(1.0), ALL_UNBIASED),
    "no claim": (Scaled(), {}),
}


@pytest.mark.parametrize(("estimator", "claim"), TRUE.values(), ids=TRUE.keys())
def test_true_claims_are_confirmed(estimator: object, claim: object) -> None:
    report = run(estimator, claim)
    assert report.confirmed, repr(report)
    assert sum(row.verdict == "confirmed" for row in report.findings) == len({} if not claim else bench._claims(claim))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_wrong_expectation_is_refuted_and_not_used(order: int) -> None:
    report = run(WrongExpectation(order), TRUE_CLAIMS)
    assert report.closed_form_agrees is False
    assert not report.confirmed
    assert report.finding("second").closed_form is None
    assert "expected_surrogate is wrong" in repr(report)


def test_a_right_expectation_is_used_and_none_is_none() -> None:
    assert run(gl.LVC(), TRUE_CLAIMS).closed_form_agrees
    assert run(Scaled(), {}).closed_form_agrees is None


def test_any_of_the_courts_suffices_for_a_bias() -> None:
    fair = Finding("first", "unbiased", 1e-16, 1.0, closed_form=1e-15, statistic=2.0, critical=4.0)
    assert fair.verdict == "confirmed"
    for change in ({"enumerated": 0.1}, {"closed_form": 0.1}, {"statistic": 5.0}):
        assert replace(fair, **change).verdict == "refuted"
        assert replace(fair, claim="biased", **change).verdict == "confirmed"


def test_what_enumeration_cannot_see_is_seen_by_samples() -> None:
    first = run(Forgetful()).finding("first")
    assert first.enumerated < 1e-12
    assert first.rejected
    assert not run(Scaled(1.0)).finding("first").rejected


def test_the_other_target_is_suggested() -> None:
    report = run(Plain())
    assert report.finding("first").verdict == "refuted"
    assert "bootstrap" in report.finding("first").reason
    assert run(Plain(), ALL_UNBIASED, bootstrap=False).confirmed


def hessians(tiny: bench_bias.Tiny) -> tuple[Tensor, Tensor]:
    """LVC's expected Hessian, and the true one."""
    policy = tiny.theta.softmax(-1)
    mean = derivatives(lambda x: gl.LVC().expected_surrogate(tiny.mdp, x, policy, tiny.values, 3), tiny.theta)[2]
    return mean, exact.hessian(tiny.mdp, tiny.theta, 3, tiny.values)


# --- numbers by other routes --------------------------------------------------------------------------------------
def test_enumerated_bias_is_that_of_the_closed_form() -> None:
    """LVC on the tiny MDPs, by its dynamic programme against the exact Hessian; and scaling by 1.02 is 0.02."""
    pairs = [hessians(tiny) for suffix, tiny in bench_bias.tiny_problems() if not suffix]
    means, truths = (torch.stack(part) for part in zip(*pairs, strict=True))
    wanted = float((means - truths).norm() / truths.norm())
    assert run(gl.LVC()).finding("second").enumerated == pytest.approx(wanted, rel=1e-9)
    assert run(Scaled()).finding("second").enumerated == pytest.approx(0.02, rel=1e-9)


def test_closed_form_on_the_papers_mdp() -> None:
    """AD forgets the whole Hessian with an exact baseline, LVC half of it."""
    assert run(gl.AD()).finding("second").closed_form == pytest.approx(1.0, abs=1e-12)
    assert run(gl.LVC()).finding("second").closed_form == pytest.approx(0.50, abs=0.01)
    assert run(gl.LVC()).finding("first").closed_form < 1e-12


def test_sampled_bias_is_within_its_error_of_the_closed_form() -> None:
    """At 5 standard errors (a false alarm rate below 1e-5) for AD and LVC."""
    for estimator in (gl.AD(), gl.LVC()):
        row = run(estimator).finding("second")
        assert abs(row.squared_bias - row.closed_form**2) < 5 * row.standard_error + 1e-9
        assert row.squared_bias > 20 * row.standard_error


def test_noise_redrawn_at_each_call_leaves_the_target_on_average() -> None:
    """Loaded DiCE is unbiased then too, and AD's gradient."""
    noisy = gl.Baseline(noise=1.0)
    assert run(gl.LoadedDiCE(), baseline=noisy).confirmed
    assert run(gl.AD(), TRUE_CLAIMS, baseline=noisy).confirmed
    assert run(gl.LoadedDiCE(), baseline=gl.Baseline(noise=1.0, seed=3)).confirmed


# --- the sampled test -----------------------------------------------------------------------------------------------
def test_quantiles_of_student() -> None:
    for probability, dof, wanted in ((0.975, 10, 2.228139), (0.995, 39, 2.707913), (1 - 2.5e-5, 39, 4.557730)):
        assert bench_bias.student_quantile(probability, dof) == pytest.approx(wanted, rel=2e-4)


def test_false_alarms_are_as_rare_as_promised_and_a_bias_is_seen() -> None:
    """2,000 tests at 5% reject 5% of true targets, ± 2.4 points (five standard errors); a bias is seen in all of 50."""
    truth = torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(2000, 80, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    allowed = bench_bias.student_quantile(1 - 0.05 / 4, 39)
    alarms = sum(bench_bias._tested(truth + part, truth).statistic > allowed for part in noise) / 2000
    assert abs(alarms - 0.05) < 0.024
    across = torch.tensor([truth[1], -truth[0], *[0.0] * 8], dtype=torch.float64)  # no part of it along the truth
    for part in noise[:50]:
        found = bench_bias._tested(truth + part + 3 * across / across.norm(), truth)
        assert found.statistic > found.critical
    assert FALSE_ALARM == 1e-4
    assert found.critical == bench_bias.student_quantile(1 - FALSE_ALARM / 4, 39)


def test_a_constant_error_is_a_certain_one() -> None:
    assert bench_bias.t_statistic(torch.zeros(5, dtype=torch.float64)) == 0.0
    assert bench_bias.t_statistic(torch.full((5,), 0.1, dtype=torch.float64)) == float("inf")


# --- the report -----------------------------------------------------------------------------------------------------
def test_same_seed_same_numbers() -> None:
    first, other = run(gl.LVC()), run(gl.LVC(), seed=1)
    again = gl.bench_estimator(gl.LVC(), scale="small", progress=False)
    assert (first.findings, first.sweep) == (again.findings, again.sweep)
    assert first.finding("first").squared_bias != other.finding("first").squared_bias
    assert first.finding("first").enumerated == other.finding("first").enumerated


def test_text_page_and_figures() -> None:
    report = run(gl.LVC(), TRUE_CLAIMS, name="<mine>")
    assert repr(report).startswith("<mine>. first order unbiased: confirmed; second order biased: confirmed.")
    assert "false alarms: 0.0001" in repr(report)
    assert "<mine>" not in report._repr_html_()
    assert "&lt;mine&gt;" in report._repr_html_()
    assert report._repr_html_().count("✓ confirmed") == 2
    for what, truth in (("accuracy", 1.0), ("squared_bias", 0.0)):
        figure, text = report.figure(what)
        lines = [trace for trace in figure.data if trace.name]
        assert len(lines) == 3 * 4
        assert [trace.name for trace in lines if trace.showlegend] == ["<mine>", "AD", "LoadedDiCE", "exact"]
        last = [getattr(p, what) for p in report.sweep if (p.setting, p.estimator) == ("n", "LoadedDiCE")]
        assert list(lines[-2].y) == last
        assert list(lines[-1].y) == [truth, truth]
        assert f"<mine> {getattr(report.sweep[0], what):.2g} ±" in text
    with pytest.raises(ValueError, match="what: got 'beauty'"):
        report.figure("beauty")
    with pytest.raises(ValueError, match="quantity: got 'third'"):
        report.finding("third")


def test_an_estimator_of_a_known_name_stands_beside_it() -> None:
    names = {point.estimator for point in run(gl.LoadedDiCE(0.5), TRUE_CLAIMS).sweep}
    assert names == {"LoadedDiCE (yours)", "AD", "LVC", "LoadedDiCE"}


def test_csv_and_json_hold_every_number(tmp_path: Path) -> None:
    report = run(gl.AD(), "unbiased")
    report.to_csv(tmp_path / "report.csv")
    report.to_json(tmp_path / "report.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json"]
    with (tmp_path / "report.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["section"] for row in rows] == [row["section"] for row in stored["rows"]]
    assert len(rows) == 4 + 2 + len(report.sweep)
    assert float(rows[1]["enumerated"]) == report.finding("second").enumerated == stored["rows"][1]["enumerated"]
    assert rows[1]["verdict"] == "refuted"
    assert stored["confirmed"] is False
    assert stored["settings"]["seed"] == 0


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    report = replace(run(gl.LVC()), seconds=float("nan"))
    report.to_json(tmp_path / "report.json")
    cost = [row for row in json.loads((tmp_path / "report.json").read_text())["rows"] if row["section"] == "cost"]
    assert cost[0]["seconds"] is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.csv").write_text("old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gmrl_lab._files.os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        run(gl.LVC()).to_csv(tmp_path / "report.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_works_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert gl.bench_estimator(gl.LVC(), TRUE_CLAIMS, scale="small").confirmed


def test_progress_counts_to_its_end() -> None:
    seen = []
    with bench._progress(3, "mine", False) as tick:
        seen += [tick() for _ in range(3)]
    assert len(seen) == 3
    assert bench._work(SMALL) == 6 + 2 + 4


def test_quick_is_quick() -> None:
    begin = time.process_time()
    gl.bench_estimator(gl.LoadedDiCE(), scale="quick", progress=False)
    assert time.process_time() - begin < 5


# --- estimators that are none -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Broken:
    how: str

    def surrogate(self, steps: gl.Steps) -> object:
        good = gl.LVC().surrogate(steps)
        broken = {
            "number": 0.0,
            "all trials together": good.mean(),
            "one for each trajectory": (steps.weights * steps.advantage * steps.ratio).sum(-1),
            "nan": good * float("nan"),
            "detached": good.detach(),
            "deaf": torch.zeros_like(good).requires_grad_(),
            "infinite slope": (good - good.detach()).abs().sqrt(),
        }
        return broken[self.how]


MESSAGES = {
    "number": "estimator: got a surrogate of 0.0, allowed is a tensor",
    "all trials together": r"estimator: got a surrogate of shape \(\), allowed is a tensor \(\d+,\) from steps",
    "one for each trajectory": r"estimator: got a surrogate of shape \(\d+, 2\), allowed is a tensor \(\d+,\)",
    "nan": "estimator: its surrogate: got nan",
    "detached": "estimator: got a surrogate without a graph",
    "deaf": "estimator: got a surrogate that does not depend on θ",
    "infinite slope": "estimator: the gradient of its surrogate: got (nan|inf)",
}


@pytest.mark.parametrize("how", MESSAGES)
def test_a_broken_surrogate_is_named(how: str) -> None:
    with pytest.raises(ValueError, match=MESSAGES[how]):
        run(Broken(how))


def test_a_surrogate_without_slope_is_biased() -> None:
    @dataclass(frozen=True)
    class Flat:
        def surrogate(self, steps: gl.Steps) -> Tensor:
            return 0 * gl.LVC().surrogate(steps) + 1.0

    report = run(Flat(), "biased")
    assert report.confirmed
    assert report.finding("second").enumerated == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": gl.LVC}, r"estimator: got <class .*, allowed is an object \(not a class\)"),
        ({"estimator": 3}, "estimator: got 3, allowed is an object"),
        ({"claim": "true"}, "claim: got 'true', allowed is one of 'unbiased', 'biased'"),
        ({"claim": {"third": "unbiased"}}, "claim: got 'third', allowed is one of 'first'"),
        ({"scale": "huge"}, "scale: got 'huge', allowed is one of 'quick', 'default'"),
        ({"seed": -1}, "seed: got -1"),
        ({"parts": "EXE"}, "parts: got 'EXE', allowed is three letters"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gl.bench_estimator(**{"estimator": gl.LVC(), **arguments})
