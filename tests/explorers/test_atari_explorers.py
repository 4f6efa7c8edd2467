"""Lesson 14's explorers: pictures that are what the emulator shows, exact means, a run that starts when asked to."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zlib
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest

import gmrl_lab as gl
from gmrl_lab.atari.training import Trainer
from gmrl_lab.explorers import atari, atari_finished, atari_game, atari_live
from gmrl_lab.explorers.explorer import Explorer


def executed(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3)])
def test_a_picture_holds_its_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    file = atari.png(pixels)
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(file):
        length, kind = struct.unpack(">I4s", file[at : at + 8])
        data = file[at + 8 : at + 8 + length]
        assert struct.unpack(">I", file[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        found[kind], at = data, at + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", found[b"IHDR"][:10])
    assert (height, width, depth, colour) == (*shape[:2], 8, 2 if len(shape) == 3 else 0)
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    assert np.array_equal(rows[:, 1:].reshape(shape), pixels)


def test_four_frames_stand_in_two_rows() -> None:
    frames = np.arange(4, dtype=np.uint8).repeat(9).reshape(4, 3, 3)
    whole = atari.mosaic(frames, gap=1)
    assert whole.shape == (7, 7)
    assert [int(whole[y, x]) for y in (0, 4) for x in (0, 4)] == [0, 1, 2, 3]
    assert (whole[3] == 255).all()


def test_without_the_emulator_there_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atari, "find_spec", lambda name: None)
    for explorer in (gl.explorers.atari_frames(), gl.explorers.atari_learning()):
        assert isinstance(explorer, widgets.HTML)
        assert "pip install 'gmrl_lab[atari]'" in explorer.value
    assert isinstance(gl.explorers.finished_games(), Explorer)


# --- a game -------------------------------------------------------------------------------------------------------


def test_the_shown_code_plays_the_same_game() -> None:
    settings = atari_game.Settings(game="Seaquest", step=20)
    *_, (progress, result) = atari_game.compute(settings, 3)
    names = executed(atari_game.code(settings, 3))
    assert progress == 1.0
    assert np.array_equal(names["emulator"].screen, result.screen)
    assert np.array_equal(names["emulator"].frames, result.frames)
    assert [reward for reward, _, _ in names["steps"]] == result.rewards[:20].tolist()
    assert result.frames.shape == (4, 84, 84)
    assert result.screen.shape == (210, 160, 3)


def test_a_game_that_goes_on_is_the_game_played_at_once() -> None:
    parts, whole = (atari_game.Recording("Qbert", 1) for _ in range(2))
    for until in (5, 5, 30):
        parts.play(until)
    whole.play(30)
    assert parts.rewards == whole.rewards
    assert np.array_equal(parts.screens[-1], whole.screens[-1])
    assert len(parts.frames) == len(parts) + 1 == 31


def test_the_step_asked_for_comes_first_and_is_kept() -> None:
    atari_game.recording.cache_clear()
    settings = atari_game.Settings(step=60)
    shown = [(round(progress, 2), len(result.rewards), result.step) for progress, result in _played(settings)]
    assert shown[0] == (0.2, 60, 60)
    assert [n for _, n, _ in shown] == [60, 100, 140, 180, 220, 260, 300]
    assert [(p, len(r.rewards)) for p, r in _played(atari_game.Settings(step=7))] == [(1.0, 300)]


def _played(settings: atari_game.Settings) -> list[tuple[float, atari_game.Result]]:
    return list(atari_game.compute(settings, 0))


def test_past_the_end_of_a_game_its_end_is_shown() -> None:
    over = np.array([False, False, True])
    pays = np.array([0.0, 25.0, 0.0])
    blank = np.zeros((4, 84, 84), np.uint8)
    result = atari_game.Result(atari_game.Settings(step=200), 3, np.zeros((2, 2, 3), np.uint8), blank, pays, over, over)
    _, summary = atari_game.draw(result)
    assert "t = 3 of 3 steps, with which the game is over: score so far 25, clipped 1, lives lost 1" in summary
    assert "Nothing is recorded after it" in summary


def test_returns_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    rewards, ended = rng.normal(size=12), rng.random(12) < 0.3
    wanted = []
    for t in range(12):
        end = next((s for s in range(t, 12) if ended[s]), 11)
        wanted.append(sum(0.9 ** (s - t) * rewards[s] for s in range(t, end + 1)))
    np.testing.assert_allclose(atari_game.discounted_returns(rewards, ended, 0.9), wanted, rtol=1e-12)
    whole = atari_game.discounted_returns(rewards, np.zeros(12, bool), 0.9)
    assert not np.allclose(whole, wanted), "a return that ends nowhere must differ"


def test_figure_line_and_table_of_a_game_say_the_same() -> None:
    *_, (_, result) = atari_game.compute(atari_game.Settings(game="Seaquest", step=150), 1)
    figure, summary = atari_game.draw(result)
    frame = atari_game.table(result)
    assert len(frame) == len(result.rewards)
    lines = {trace.name: trace for trace in figure.data if trace.type == "scatter"}
    for name, ends in atari_game.RETURNS.items():
        assert list(lines[name].y) == pytest.approx(frame[f"return_{ends}"].tolist())
    assert f"score so far {frame['reward'][:150].sum():g}" in summary
    assert f"the clipped return is {frame['return_lost'][150]:.2f} until a life is lost" in summary
    lost = frame["life_lost"].to_numpy().nonzero()[0] + 1
    assert lost.size
    assert [x for x in lines["a life is lost"].x if x is not None][::2] == lost.tolist()
    pictures = [trace for trace in figure.data if trace.type == "image"]
    assert [picture.source[:22] for picture in pictures] == ["data:image/png;base64,"] * 2
    assert len(figure.to_json()) < 40_000, "light enough to move with a slider"


def test_every_game_starts() -> None:
    for game in atari_game.GAMES:
        _, result = next(atari_game.compute(atari_game.Settings(game=game, step=0), 0))
        assert result.screen.std() > 0
        assert game in atari_game.draw(result)[1]
    atari_game.recording.cache_clear()


# --- finished games -----------------------------------------------------------------------------------------------

KINDS = ((2, 3, 7), (0.3, 0.5, 0.2), (1.0, -1.0, 4.0))


def enumerated(last: int) -> list[float]:
    """Every sequence of games that an environment may begin up to step `last`, with its chance."""
    means = []
    for t in range(last + 1):
        paid = count = 0.0
        for games in itertools.product(range(3), repeat=last // 2):
            chance, clock = 1.0, 0
            for game in games:
                chance *= KINDS[1][game]
            for game in games:
                clock += KINDS[0][game]
                if clock <= t:
                    paid, count = paid + chance * KINDS[2][game], count + chance
        means.append(paid / count if count else float("nan"))
    return means


def test_mean_of_finished_games_by_enumeration() -> None:
    exact = atari_finished.mean_of_finished(*KINDS, last=12)
    np.testing.assert_allclose(exact, enumerated(12), rtol=1e-12)


def test_what_the_lesson_says_of_two_kinds() -> None:
    exact = atari_finished.mean_of_finished((10, 100), (0.5, 0.5), (10.0, 100.0), 20_000)
    assert np.isnan(exact[:10]).all()
    assert set(exact[10:100]) == {10.0}
    assert exact[100] == pytest.approx(40.02, abs=0.01)
    assert exact[-1] == pytest.approx(55, abs=0.2), "after a long time each kind ends as often as it begins"


def test_score_is_the_mean_of_the_last_64() -> None:
    rng = np.random.default_rng(0)
    ended, paid = rng.integers(1, 400, 300).astype(float), rng.normal(size=300)
    score = atari_finished._last_games(ended, paid)
    for t in (0, 3, 50, 400):
        known = [r for _, r in sorted(zip(ended, paid, strict=True), key=lambda pair: pair[0]) if _ <= t][-64:]
        assert score[t] == pytest.approx(np.mean(known)) if known else np.isnan(score[t])


def test_line_code_and_table_of_finished_games() -> None:
    settings = atari_finished.Settings(short=20, long=50, chance=0.9)
    _, result = next(atari_finished.compute(settings, 0))
    np.testing.assert_array_equal(executed(atari_finished.code(settings, 0))["exact"], result.exact)
    figure, summary = atari_finished.draw(result)
    assert result.mean == pytest.approx(0.9 * 20 + 0.1 * 50)
    assert f"{result.exact[50]:.3g} after 50 steps" in summary
    assert atari_finished.table(result)["finished_exact"][600] == result.exact[600]
    assert next(trace for trace in figure.data if trace.name == "the policy's mean").y[0] == result.mean


def test_games_that_pay_alike_have_no_bias() -> None:
    _, result = next(atari_finished.compute(atari_finished.Settings(pays="alike"), 0))
    assert np.nanmax(np.abs(result.exact - 1.0)) < 1e-12
    explorer = gl.explorers.finished_games()
    assert isinstance(explorer, Explorer)
    for field, values in explorer.controls.ranges().items():
        for value in values:
            explorer.run(**{field: value})


def test_first_games_are_unbiased_and_finished_ones_are_not() -> None:
    """200 samples of 64 environments: their mean within 4 standard errors (false alarm 1 in 16,000); at step 99 not."""
    settings = atari_finished.Settings()
    results = [next(atari_finished.compute(settings, seed))[1] for seed in range(200)]
    first, early = (np.array(x) for x in zip(*((r.first, r.score[99]) for r in results), strict=True))
    error = first.std(ddof=1) / 200**0.5
    assert abs(first.mean() - 55) < 4 * error
    assert abs(early.mean() - 55) > 40 * error


# --- live ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two emulators, which start in half a second."""
    monkeypatch.setattr(atari_live, "N_ENVS", 2)
    monkeypatch.setattr(atari_live, "EVERY", 30)


def test_nothing_runs_before_it_is_asked_to() -> None:
    [(progress, result)] = atari_live.compute(atari_live.Settings(), 0)
    figure, summary = atari_live.draw(result)
    assert progress == 1.0
    assert "nothing has run yet; 20,000 steps are to come" in summary
    assert "press “learn”" in str(figure.layout.annotations)
    assert atari_live.table(result).empty


@pytest.mark.usefixtures("small")
def test_a_run_is_shown_while_it_learns_and_is_that_of_the_code() -> None:
    settings = atari_live.Settings(run="learn", game="Seaquest", n_steps=2_000)
    shown = list(itertools.islice(atari_live.compute(settings, 0), 4))
    assert [progress for progress, _ in shown] == pytest.approx([0, 0.02, 0.035, 0.05])
    assert shown[0][1].metrics is None
    _, result = shown[-1]
    lines = atari_live.code(settings, 0).replace("while not trainer.done", "for _ in range(3)")
    names = executed(lines)
    frame = atari_live.table(result)
    assert len(frame) == len(names["trainer"].logger)
    theirs = names["trainer"].logger.metrics
    np.testing.assert_array_equal(frame.drop(columns="seconds"), theirs.drop(columns="seconds"))
    figure, summary = atari_live.draw(result)
    assert "No game has ended yet" in summary
    drawn = {trace.name: trace for trace in figure.data}
    gamma = frame["discount"].iloc[-1]
    assert drawn["γ"].y[-1] == pytest.approx(np.log(gamma / (1 - gamma)) - np.log(0.99 / 0.01))
    assert drawn["entropy"].y[-1] == pytest.approx(frame["entropy"].iloc[-1] / np.log(18))
    assert result.frames is not None
    assert result.frames.shape == (4, 42, 42)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("learner", "least", "most"), [("nothing", 0.0, 1e-20), ("A2C", 5e-4, 1e-2)])
def test_a_learner_that_learns_nothing_stays_where_it_starts(learner: str, least: float, most: float) -> None:
    trainer = Trainer(atari_live.Settings(learner=learner).training(0))
    before = trainer.state.parameters
    trainer.update()
    moved = max((x - before[name]).abs().max().item() for name, x in trainer.state.parameters.items())
    assert least <= moved <= most


def test_games_are_drawn_with_their_score_and_the_fair_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atari_live, "N_ENVS", 2)
    games = pd.DataFrame({"step": [100, 200, 300], "environment": [1, 1, 0], "return": [10.0, 20.0, 90.0]})
    start = {"discount": 0.99, "gae_lambda": 0.95, "value_coefficient": 0.5, "entropy_coefficient": 0.01}
    row = {"env_steps": 300, "seconds": 2.0, "entropy": 1.0, "score": 40.0, "games": 3, **start}
    blank = np.zeros((4, 42, 42), np.uint8)
    result = atari_live.Result(atari_live.Settings(), "small", blank, 6, pd.DataFrame([row]), games)
    assert result.first_games == 50.0
    figure, summary = atari_live.draw(result)
    assert "300 of 20,000 steps, 150 a second" in summary
    assert "Mean of the last 3 finished games 40; the first game of each environment 50." in summary
    lines = {trace.name: trace for trace in figure.data}
    assert lines["first game of each environment, mean"].y[0] == 50.0
    assert list(lines["a game"].y) == [10.0, 20.0, 90.0]
    unfinished = atari_live.Result(result.settings, "small", blank, 6, result.metrics, games.iloc[:2])
    assert "not all first games have ended" in atari_live.draw(unfinished)[1]
