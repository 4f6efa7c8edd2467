"""Checkpoints and the logger: what was written comes back bit for bit, and nothing wrong is taken or overwritten."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal

from gmrl_lab.atari import checkpoint as ckpt
from gmrl_lab.atari.logger import SCORED, Logger
from gmrl_lab.sweep import read_table

IDENTITY = {"game": "Qbert", "variant": "a2c", "seed": 3}
STATE = {
    "learner": {"weight": torch.tensor([1.5, float("nan")], dtype=torch.float32), "updates": 7},
    "generator": torch.Generator().manual_seed(1).get_state(),
    "environments": [{"seed": 4, "actions": torch.tensor([0, 3], dtype=torch.uint8), "note": None}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ckpt.save_checkpoint(tmp_path / "checkpoint.pt", IDENTITY, STATE)
    return tmp_path / "checkpoint.pt"


def test_the_state_comes_back(path: Path) -> None:
    assert ckpt.read_identity(path) == IDENTITY
    pairs = list(zip(ckpt.entries(ckpt.load_checkpoint(path, IDENTITY)), ckpt.entries(STATE), strict=True))
    assert [name for (name, _), _ in pairs] == [
        "learner.weight",
        "learner.updates",
        "generator",
        "environments[0].seed",
        "environments[0].actions",
        "environments[0].note",
    ]
    for (name, got), (wanted_name, wanted) in pairs:
        assert name == wanted_name
        if isinstance(wanted, torch.Tensor):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)
        else:
            assert got == wanted
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"], "no temporary file is left"


@pytest.mark.parametrize("words", ["", "x", "xx", "xxx"])
def test_a_checkpoint_is_packed_and_older_ones_are_not(path: Path, words: str) -> None:
    """Half of the numbers are 0, as the running means of units that no input reaches, and the others have one size."""
    weight = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    state = {"weight": torch.cat([weight, torch.zeros(200_000)]), "words": words}
    buffer = io.BytesIO()
    torch.save({"identity": IDENTITY, "state": state}, buffer)
    ckpt.save_checkpoint(path, IDENTITY, state)
    assert path.stat().st_size < 0.45 * len(buffer.getvalue())
    packed = ckpt.load_checkpoint(path, IDENTITY)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(ckpt.HEADER + digest + b"\n" + buffer.getvalue())
    for found in (packed, ckpt.load_checkpoint(path, IDENTITY)):
        assert found["words"] == words
        assert torch.equal(found["weight"], state["weight"])


def test_another_runs_checkpoint_is_refused_and_left(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"of a run with variant='a2c', allowed is one with variant='mgrl'; move this"):
        ckpt.load_checkpoint(path, {**IDENTITY, "variant": "mgrl"})
    with pytest.raises(ValueError, match=r"with steps=None, allowed is one with steps=5"):
        ckpt.load_checkpoint(path, {**IDENTITY, "steps": 5})
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", [0.3, 0.6, 0.99])
def test_a_flipped_bit_anywhere_is_found(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt, which is damaged"):
        ckpt.load_checkpoint(path)


def test_half_a_file_and_other_files_are_named(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="which is damaged"):
        ckpt.load_checkpoint(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match="which is none"):
        ckpt.load_checkpoint(path)
    with pytest.raises(ValueError, match=r"none\.pt \(No such file"):
        ckpt.load_checkpoint(path.with_name("none.pt"))


def test_what_could_not_be_read_back_is_refused_before_it_is_written(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"state\.a\.b\[1\]: got float64, allowed is tensors"):
        ckpt.save_checkpoint(path, IDENTITY, {"a": {"b": [1.0, np.float64(1.0)]}})
    assert path.read_bytes() == before


def test_the_tensor_that_is_not_finite_is_named() -> None:
    assert ckpt.first_not_finite(STATE) == "learner.weight"
    assert ckpt.first_not_finite({"a": torch.tensor([1]), "b": [torch.zeros(2)], "c": "nan"}) is None
    assert ckpt.first_not_finite({"b": [torch.zeros(2), torch.tensor(float("inf"))]}) == "b[1]"


def test_score_is_the_mean_of_the_last_64_games() -> None:
    logger = Logger()
    assert np.isnan(logger.score)
    for game in range(SCORED + 6):
        logger.log_game({"step": 10 * game, "return": game, "length": 5})
        assert logger.score == np.mean(range(max(0, game + 1 - SCORED), game + 1))
    assert logger.n_games == len(logger.games) == SCORED + 6


def test_a_logger_goes_on_from_its_state(tmp_path: Path) -> None:
    through, first = Logger(), Logger()
    for logger, rows in ((through, range(6)), (first, range(3))):
        for row in rows:
            logger.log({"step": row, "loss": 1 / (row + 1), "score": logger.score})
            logger.log_game({"step": row, "return": 0.1 * row})
    ckpt.save_checkpoint(tmp_path / "c.pt", IDENTITY, {"logger": first.state_dict()})
    second = Logger.from_state(ckpt.load_checkpoint(tmp_path / "c.pt", IDENTITY)["logger"])
    for row in range(3, 6):
        second.log({"step": row, "loss": 1 / (row + 1), "score": second.score})
        second.log_game({"step": row, "return": 0.1 * row})
    assert_frame_equal(second.metrics, through.metrics, check_exact=True)
    assert_frame_equal(second.games, through.games, check_exact=True)
    second.write(tmp_path, {"command": "gmrl-lab train"})
    table, made = read_table(tmp_path / "metrics.parquet")
    assert_frame_equal(table, through.metrics, check_exact=True)
    assert made == {"command": "gmrl-lab train"}


def test_rows_that_do_not_fit_are_refused() -> None:
    logger = Logger()
    logger.log({"step": 1, "loss": 0.5})
    with pytest.raises(ValueError, match=r"row of metrics: got \['step'\], allowed is the columns of the first one"):
        logger.log({"step": 2})
    with pytest.raises(ValueError, match=r"metrics\['loss'\]: got 'x', allowed is a number"):
        logger.log({"step": 2, "loss": "x"})  # type: ignore[dict-item]
    assert len(logger.metrics) == 1
