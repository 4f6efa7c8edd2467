"""The command line: help that teaches, files where they were asked for, messages instead of tracebacks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import says
from pandas.testing import assert_frame_equal

from gmrl_lab import cli, paper
from gmrl_lab.paper.settings import Table2
from gmrl_lab.sweep import read_table

TINY = ["--table.n-states", "4", "--table.n-actions", "2", "--table.horizon", "4", "--lola.horizon", "4"]
CI = ["--scale", "ci", *TINY]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.mark.parametrize("arguments", [["--help"], ["figure", "--help"]])
def test_help_teaches(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = says(arguments, capsys, code=0)
    assert "gmrl-lab" in words
    assert "Compute a figure of the paper" in words
    if arguments[0] == "figure":
        for told in (
            "gmrl-lab figure 5 --scale ci --html fig5.html",
            "goes on where it stopped",
            "Parquet file for the table",
            "K. (default: 1)",
            "γ. (default: 0.8)",
        ):
            assert told in words


def test_figure_in_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "figure",
        "5",
        "--scale",
        "ci",
        "--out",
        "deep/fig5.parquet",
        "--html",
        "deep/fig5.html",
        "--seed",
        "3",
    ]
    assert cli.main([*arguments, *TINY]) == 0
    printed = capsys.readouterr().out
    table, made = read_table(tmp_path / "deep" / "fig5.parquet")
    settings = Table2(n_states=4, n_actions=2, horizon=4)
    assert_frame_equal(table, paper.figure_5(paper.Run("ci", 3, n_jobs=1, progress=False), settings))
    assert made["command"] == " ".join(["gmrl-lab", *arguments, *TINY])
    assert (made["scale"], made["seed"]) == ("ci", 3)
    assert "Figure 5: 112 rows" in printed
    assert printed.count("reproduced") >= 5
    assert "table: deep/fig5.parquet" in printed
    page = (tmp_path / "deep" / "fig5.html").read_text()
    assert "Loaded DiCE" in page
    assert "<script src=" not in page, "the picture needs no network"
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["fig5.html", "fig5.parquet"]
    assert len(list((tmp_path / cli.DEFAULT_CACHE).glob("*.parquet"))) == 8


def test_all_figures_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figure", "all", "--out", "results", "--html", "results", "--cache", "None", *CI]) == 0
    names = {f"figure_{n}.{kind}" for n in paper.FIGURES for kind in ("parquet", "html")}
    assert {path.name for path in (tmp_path / "results").iterdir()} == names
    assert not (tmp_path / ".cache").exists()
    assert capsys.readouterr().out.count(" rows\n") == len(paper.FIGURES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["figure", "12"], "Expected one of ('1', '2', "),
        (["figure"], "required"),
        (["figur", "5"], "figure"),
        ([], "figure"),
        (["figure", "5", "--scale", "huge"], "Expected one of ('paper'"),
        (["figure", "5", "--seed", "x"], "--seed"),
        (["figure", "5", "--sead", "1"], "--seed"),
        (["figure", "5", "--seed", "-1"], "seed: got -1, allowed is a whole number >= 0"),
        (["figure", "5", "--table.n-states", "0"], "n_states: got 0, allowed is a whole number >= 1"),
        (["figure", "5", "--table.discount", "1.5"], "discount: got 1.5, allowed is the interval [0, 1)"),
        (["figure", "5", "--table.inner-lr", "nan"], "inner_lr: got nan, allowed is a finite number > 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told.replace(" ", "") in says(arguments, capsys).replace(" ", "")


def test_damaged_cache_is_named_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["figure", "8", "--cache", "kept", *CI]
    assert cli.main(call) == 0
    capsys.readouterr()
    damaged = sorted((tmp_path / "kept").iterdir())[3]
    damaged.write_bytes(damaged.read_bytes()[:100])
    words = says(call, capsys)
    assert f"gmrl-lab: cache: got kept/{damaged.name}, which cannot be used" in words
    assert "move this file away" in words
    assert damaged.stat().st_size == 100
    damaged.rename(tmp_path / "away")
    assert cli.main(call) == 0


def test_places_that_cannot_be_written_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "cache: got file" in says(["figure", "8", "--cache", "file", *CI], capsys)
    for option in ("--out", "--html"):
        words = says(["figure", "8", option, "file/below", *CI], capsys)
        assert "gmrl-lab:" in words
        assert "file" in words
        assert (tmp_path / "file").read_bytes() == b""


def test_missing_tyro_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tyro", None)
    monkeypatch.delitem(sys.modules, "gmrl_lab.cli")
    with pytest.raises(ModuleNotFoundError, match=r"tyro is missing: pip install 'gmrl_lab\[lab\]'"):
        __import__("gmrl_lab.cli")


def heed_interrupts() -> None:
    """A shell's background process is born deaf to Ctrl-C, and so are those that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, jobs: str) -> None:
    """A real interrupt, sent to the whole group as a terminal does; the same command then ends the work."""
    call = [sys.executable, "-m", "gmrl_lab.cli", "figure", "5", "--scale", "class", "--out", "fig.parquet", *TINY]
    call += ["--jobs", jobs, "--table.n-inner-steps", "5"]
    cache = tmp_path / cli.DEFAULT_CACHE
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(call, start_new_session=True, preexec_fn=heed_interrupts, **pipes)
    end = time.monotonic() + 120
    while not list(cache.glob("*.parquet")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "gmrl-lab: interrupted; what is finished is kept, run the same command to go on" in errors
    assert "Traceback" not in errors
    kept = len(list(cache.glob("*.parquet")))
    assert 1 <= kept < 16
    assert not [path for path in cache.iterdir() if path.suffix != ".parquet"]
