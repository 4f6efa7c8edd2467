"""What lesson 10 says: by hand, on common samples, and against the tables that come with the package."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import close
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.paper.settings import Table2
from gmrl_lab.paper.shipped import shipped
from gmrl_lab.paper.statistics import interval
from gmrl_lab.paper.training import Training, train, training_steps

ESTIMATORS = (gl.LVC(), gl.AD(), gl.LoadedDiCE())


def tables_exist(*names: str) -> bool:
    try:
        return all(len(shipped(name)) for name in names)
    except ValueError:
        return False


needs_tables = pytest.mark.skipif(not tables_exist("8", "training"), reason="the tables are not shipped yet")


def credit(oracle: gl.Exact | gl.Expected) -> Tensor:
    """How much a reward in room 1, 2, 3 of a corridor counts for the action in room 0 that leads there."""
    rooms = torch.zeros(5, 2, 5, dtype=torch.float64)
    rooms[0, 0, 1] = rooms[0, 1, 4] = rooms[1, :, 2] = rooms[2, :, 3] = rooms[3, :, 4] = rooms[4, :, 4] = 1.0
    phi, theta = (torch.zeros(5, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    task = gl.LIRPG(gl.TabularMDP(rooms, phi.detach(), 0.8), theta.detach())
    (slope,) = torch.autograd.grad(task.inner_update(phi, theta, oracle)[0, 0], phi)
    return 4 * slope.sum(-1)[1:4]


@pytest.mark.parametrize("gae_lambda", [0.9, 0.5, 1.0])
def test_a_detached_baseline_discounts_by_gamma_lambda(gae_lambda: float) -> None:
    settings = {"gae_lambda": gae_lambda, "baseline": gl.Baseline(0.0)}
    far = torch.arange(1, 4, dtype=torch.float64)
    torch.testing.assert_close(credit(gl.Exact()), 0.8**far)
    torch.testing.assert_close(credit(gl.Expected(gl.AD(), **settings)), 0.8**far)  # type: ignore[arg-type]
    detached = gl.Expected(gl.AD(), **settings, grad_baseline=False)  # type: ignore[arg-type]
    torch.testing.assert_close(credit(detached), (0.8 * gae_lambda) ** far)


@pytest.mark.parametrize(("n_inner_steps", "alike"), [(1, True), (2, False)])
def test_one_step_needs_no_hessian(n_inner_steps: int, alike: bool) -> None:
    mdp, phi = gl.random_mdp(seed=0), torch.zeros(20, 5, dtype=torch.float64)
    found = [
        gl.meta_gradient(
            gl.LIRPG(mdp, phi),
            phi,
            n_inner_steps,
            10.0,
            hessian=gl.Sampled(estimator, 16, gae_lambda=0.9),
            n_trials=1,
            generator=gl.generators(0, 1),
        )
        for estimator in ESTIMATORS
    ]
    for other in found[1:]:
        far = ((other - found[0]).norm() / found[0].norm()).item()
        assert far < 1e-12 if alike else far > 0.1


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC()])
@pytest.mark.parametrize("per", ["call", "trajectory"])
def test_more_trajectories_do_not_cure_autodiff(estimator: gl.Estimator, per: str) -> None:
    """Eight times the data: the variance falls by 8 within a factor of 1.5 (4 MDPs, 40 trials), but not AD's per call.

    The trace is a sum over 100 coordinates, so its ratio spreads by about 15%; a false alarm is rarer than 1 in 100.
    """
    mdps, phi = gl.random_mdp(seed=[0, 1, 2, 3]), torch.zeros(20, 5, dtype=torch.float64)
    traces = []
    for n in (8, 64):
        hessian = gl.Sampled(estimator, n, gae_lambda=0.9, baseline=gl.Baseline(1.0, per=per))
        settings = {"hessian": hessian, "n_trials": 40, "generator": gl.generators(0, 40)}
        estimates = gl.meta_gradient(gl.LIRPG(mdps, phi), phi, 2, 10.0, **settings)  # type: ignore[arg-type]
        traces.append(gl.covariance_trace(estimates, event_dims=2))
    ratio = traces[0] / traces[1]
    if isinstance(estimator, gl.AD) and per == "call":
        assert ratio.max() < 4
    else:
        assert ratio.min() > 8 / 1.5
        assert ratio.max() < 8 * 1.5


@needs_tables
def test_claims_about_figure_8() -> None:
    by = shipped("8").set_index(["estimator", "grad_baseline", "n_inner_steps", "n_trajectories", "mdp"]).sort_index()

    def accuracy(estimator: str, steps: int, attached: bool = True, n: int = 256) -> pd.Series:
        return by.loc[(estimator, attached, steps, n), "pearson"]

    assert np.abs(accuracy("LVC", 1) - accuracy("AD", 1)).max() < 1e-12
    assert accuracy("LVC", 5).mean() > 0.96
    drop, half = interval(accuracy("AD", 1) - accuracy("AD", 5))
    assert drop - half > 0.2
    for steps in (1, 5):
        for n in (16, 256):
            attached, detached = (accuracy("LVC", steps, kind, n) for kind in (True, False))
            mean, half = interval(attached - detached)
            assert half < mean < 0.03


@needs_tables
def test_shipped_training_is_what_the_code_computes() -> None:
    """The exact rows do not depend on a seed: three steps of them, at either K."""
    found = shipped("training").query("estimator == 'exact' and run == 0 and outer_step <= 3")
    for (algorithm, steps), rows in found.groupby(["algorithm", "n_inner_steps"]):
        training = Training(algorithm, "exact", n_outer_steps=3, n_runs=1)
        here = train(training, Table2(n_inner_steps=steps), 0)[:, 0]
        assert rows["meta_objective"].tolist() == pytest.approx(here.tolist(), rel=1e-9)


@needs_tables
def test_what_the_bias_costs() -> None:
    """AD against LVC, paired over runs: resolved for MAML, not for LIRPG."""
    final = shipped("training").query("outer_step == 100")
    for algorithm, steps, resolved in (("MAML", 1, True), ("MAML", 3, True), ("LIRPG", 3, False)):
        rows = final.query(f"algorithm == '{algorithm}' and n_inner_steps == {steps}")
        runs = rows.pivot(index="run", columns="estimator", values="meta_objective")
        mean, half = interval(runs["LVC"] - runs["AD"])
        assert (mean > half) == resolved
        assert runs["DiCE"].mean() == runs.mean().min()


def test_the_bias_alone() -> None:
    """Five steps on five MDPs: exact leads, first-order MAML follows; LIRPG at K = 1 has no bias."""
    ends = {}
    for name in ("exact", "expected AD", "expected DiCE"):
        for algorithm, steps in (("MAML", 3), ("LIRPG", 1)):
            training = Training(algorithm, name, n_outer_steps=5, n_runs=1)
            ends[algorithm, name] = train(training, Table2(n_mdps=5, n_inner_steps=steps), 0)[-1].item()
    assert ends["MAML", "exact"] > ends["MAML", "expected AD"] + 0.01
    assert ends["MAML", "expected DiCE"] == pytest.approx(ends["MAML", "exact"], abs=1e-3)
    assert ends["LIRPG", "expected AD"] == pytest.approx(ends["LIRPG", "exact"], abs=1e-3)


@pytest.mark.slow
def test_with_right_values_autodiff_loses_nothing() -> None:
    """MAML at K = 3, four runs: 4.16 ± 0.06 without value noise, as far as the exact meta-gradient gets."""
    ends = {}
    for noise in (0.0, 1.0):
        table = Table2(n_inner_steps=3, value_noise=noise)
        ends[noise] = train(Training("MAML", "AD", n_runs=4), table, 0)[-1]
    assert ends[0.0].mean().item() == pytest.approx(4.163, abs=0.03)
    assert (ends[0.0] > ends[1.0]).all()
    assert ends[1.0].mean().item() < 3.9


def test_steps_are_rows_of_train() -> None:
    training, table = Training("MAML", "LVC", n_trajectories=4, n_outer_steps=2, n_runs=2), Table2(n_mdps=2)
    rows = list(training_steps(training, table, 3))
    assert close(torch.stack(rows), train(training, table, 3), 1e-12)
    assert len(rows) == 3


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="estimator"):
        Training("MAML", "expected REINFORCE")


@needs_tables
def test_shipped_figure_8_is_what_the_code_computes() -> None:
    """One cell, recomputed from the seed of the sweep."""
    from gmrl_lab.paper.figures import Run, figure_8
    from gmrl_lab.paper.settings import Scale

    one = Scale("one", 10, 20, (16,), (1,), (1.0,), (1.0,), 3, 1)
    here = figure_8(Run(one, progress=False))
    found = shipped("8").query("n_inner_steps == 1 and n_trajectories == 16").reset_index(drop=True)
    columns = ["pearson", "covariance_trace"]
    pd.testing.assert_frame_equal(here[columns], found[columns], rtol=1e-9)
