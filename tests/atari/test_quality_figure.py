"""The picture of the meta-gradient's quality, the shipped measurement, and one of its rows computed again."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from gmrl_lab.atari import quality_figure, quality_table
from gmrl_lab.atari.checkpoint import digest, load_checkpoint
from gmrl_lab.atari.emulator import POLICY
from gmrl_lab.atari.quality import meta_gradient_quality
from gmrl_lab.atari.recursion import REFERENCE, expected_meta_gradients
from gmrl_lab.atari.training import Trainer, Training, train
from gmrl_lab.atari.tree import GameTree
from gmrl_lab.paper.shipped import FOLDER
from gmrl_lab.sweep import read_table

NAMES = ["AD", "LVC", "Loaded DiCE"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    measured = meta_gradient_quality("RandomMDP", (4, 8), n_inner=2, inner_lr=3.0, n_trials=4, progress=False)
    return measured.assign(game="toy", inner_lr=3.0)


@pytest.fixture(scope="module")
def tree() -> GameTree:
    """Qbert's graph, as it is shipped."""
    return GameTree.load(FOLDER / "atari_quality_qbert.npz")


def test_a_column_for_each_size_and_a_line_with_a_band_for_each_estimator(table: pd.DataFrame) -> None:
    figure = quality_figure.draw(table, "toy", 3.0)
    titles = [title["text"] for title in figure.layout.annotations]
    assert titles == 2 * ["<b>n = 4</b>", "<b>n = 8</b>", "<b>n = ∞, exact</b>"]
    lines = [trace for trace in figure.data if trace.fill is None]
    assert [trace.name for trace in lines] == 6 * NAMES
    assert len(figure.data) == 2 * len(lines)
    assert sum(trace.showlegend for trace in lines) == 3
    ad = table[(table["estimator"] == "AD") & (table["n_windows"] == math.inf)]
    wanted = ad["bias_squared"] / ad["reference_norm"] ** 2
    assert list(lines[15].y) == pytest.approx(wanted.tolist())


def test_the_summary_has_the_tables_numbers(table: pd.DataFrame) -> None:
    words = quality_figure.summary(table, "toy", 3.0)
    last = table[table["K"] == 2].set_index(["n_windows", "estimator"])
    row = last.loc[(8, "LVC")]
    assert f"n = 8: cosine with the truth AD {last.loc[(8, 'AD'), 'cosine']:.3f} ±" in words
    assert f"LVC {row['cosine']:.3f} ± {1.96 * row['cosine_se']:.3f}" in words
    off = last.loc[(math.inf, "AD")]
    assert f"AD is off by {off['bias_squared'] ** 0.5 / off['reference_norm']:.2g} of" in words
    with pytest.raises(ValueError, match=r"game and inner_lr: got Qbert at 3, allowed is one .* measured: toy at 3"):
        quality_figure.summary(table, "Qbert", 3.0)


def test_what_is_shipped_says_what_made_it_and_can_be_drawn(tree: GameTree) -> None:
    shipped = quality_figure.shipped()
    assert {"command", "commit", "machine", "versions", "seed"} <= set(shipped.attrs)
    assert shipped.attrs["games"]["Qbert"]["checkpoint"] == tree.made["checkpoint"]
    for (game, lr), rows in shipped.groupby(["game", "inner_lr"]):
        sizes = rows["n_windows"].nunique()
        assert len(rows) == sizes * 3 * 5
        assert str(game) in quality_figure.summary(shipped, str(game), float(lr))
        assert len(quality_figure.draw(shipped, str(game), float(lr)).layout.annotations) == 2 * sizes
        exact = rows[rows["n_windows"] == math.inf].set_index(["estimator", "K"])["bias_squared"]
        assert (exact["AD"][1:] > exact["LVC"][1:]).all()


def test_a_row_of_the_shipped_table_is_what_the_shipped_graph_gives(tree: GameTree) -> None:
    """What AD and LVC tend to at K = 2; in single precision, for speed."""
    shipped = quality_figure.shipped().query("game == 'Qbert' and K == 2 and n_windows == inf")
    lr = shipped["inner_lr"].max()
    rows = shipped[shipped["inner_lr"] == lr].set_index("estimator")
    found = expected_meta_gradients(tree, 2, lr)
    assert found[REFERENCE][1].norm().item() == pytest.approx(rows.loc[REFERENCE, "reference_norm"], rel=1e-3)
    for name in ("AD", "LVC"):
        off = (found[name][1] - found[REFERENCE][1]).square().sum().item()
        assert off == pytest.approx(rows.loc[name, "bias_squared"], rel=2e-2)
    assert quality_table.gradient_length(tree) * lr == pytest.approx(rows.loc["AD", "step_length"], rel=1e-4)


def test_loaded_dice_with_many_windows_agrees_with_the_truth_on_qbert() -> None:
    """At n = 256 its squared bias is zero up to 4 standard errors at all ten points (false alarm about 1e-3).

    Power: that of AD after five of the longer steps is not.
    """
    table = quality_figure.shipped().query("game == 'Qbert' and n_windows == 256")
    table["z"] = table["bias_squared"] / table["bias_squared_se"]
    assert (table[table["estimator"] == "LoadedDiCE"]["z"].abs() < 4).all()
    last = table.query("estimator == 'AD' and K == 5").sort_values("inner_lr")
    assert last["z"].iloc[-1] > 4


def test_a_measurement_is_written_with_what_made_it(tmp_path: Path) -> None:
    """From a checkpoint to the file, at the smallest scale; a second call computes nothing anew."""
    run = Training.at("Qbert", "reduced", 0, variant="a2c", n_envs=4, total_steps=20)
    train(run, folder=tmp_path, device="cpu", progress=False)
    checkpoint = tmp_path / "checkpoint.pt"
    for _ in range(2):
        found = quality_table.measure(tmp_path / "q", {str(checkpoint): 1}, (0.1,), (4,), n_inner=1, n_trials=3)
        table, made = read_table(tmp_path / "q" / "atari_quality.parquet")
        pd.testing.assert_frame_equal(table, found)
    assert len(table) == 2 * 3
    assert made["games"]["Qbert"]["checkpoint"] == digest(checkpoint)
    before = Trainer(run).state.parameters
    after = load_checkpoint(checkpoint)["learner"]["parameters"]
    moved = torch.stack([(after[name] - x).square().sum() for name, x in before.items() if name.startswith(POLICY)])
    assert made["games"]["Qbert"]["training_step"] == pytest.approx(moved.sum().sqrt().item(), rel=1e-4)  # one update
    assert "inner_lrs=(0.1,), n_windows=(4,), n_inner=1, n_trials=3, seed=0" in made["command"]
    names = {path.name for path in (tmp_path / "q").iterdir()}
    assert names == {"cells", "atari_quality.parquet", f"Qbert-{digest(checkpoint)[:8]}-1.npz"}
