"""The explorer framework without a browser: controls, refinement, messages, cache, figure updates."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from gmrl_lab.explorers import (
    Controls,
    Explorer,
    base_layout,
    choice,
    line_style,
    log_slider,
    number,
    powers_of_two,
    slider,
    switch,
    toggles,
)
from gmrl_lab.explorers.figures import LiveFigure, show


@dataclass(frozen=True)
class Settings:
    n_waves: int = slider(1, 4, default=2, label="K", help="waves")
    frequency: float = log_slider(0.1, 30.0, default=10.0, label="α", help="frequency")
    n_points: int = powers_of_two(2, 64, default=16, label="n", help="points")
    shape: str = choice("sine", "saw", "broken", "wrong", default="sine", label="shape")
    inner: str = toggles({"E": "exact", "S": "sampled"}, default="E", label="inner")
    markers: bool = switch(default=False, label="markers")
    offset: float = number(-1.0, 1.0, default=0.0, label="b", help="offset")

    def __post_init__(self) -> None:
        if self.shape == "saw" and self.n_waves == 4:
            raise ValueError("a saw has at most 3 waves, got 4")


@dataclass(frozen=True)
class Result:
    settings: Settings
    part: int
    y: np.ndarray


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    if settings.shape == "wrong":
        raise ValueError("wrong is not a shape")
    for part in (1, 2, 3):
        if settings.shape == "broken" and part == 2:
            raise ZeroDivisionError("no part two")
        calls.append((settings, seed, part))
        yield part / 3, Result(settings, part, np.arange(settings.n_points) * settings.frequency + seed)


def draw(result: Result) -> tuple[go.Figure, str]:
    waves = [go.Scatter(y=result.y + i, name=f"wave {i}", **line_style(i)) for i in range(result.settings.n_waves)]
    return go.Figure(waves, base_layout("waves")), f"part {result.part}, α = {result.settings.frequency:g}"


def make(seed: int = 0) -> Explorer[Settings, Result]:
    return Explorer(
        Settings,
        compute,
        draw,
        lambda settings, seed: f"waves({settings.n_waves}, seed={seed})  # <b>",
        table=lambda result: pd.DataFrame({"y": result.y}),
        title="Waves",
        seed=seed,
    )


calls: list[tuple[Settings, int, int]] = []


@pytest.fixture(autouse=True)
def _forget_calls() -> None:
    calls.clear()


class TestControls:
    def test_value_is_the_dataclass_with_its_defaults(self) -> None:
        assert Controls(Settings).value == Settings()

    def test_set_is_one_change_and_reset_returns(self) -> None:
        controls, seen = Controls(Settings), []
        controls.observe(lambda: seen.append(controls.value))
        controls.set(n_waves=3, inner="S")
        assert seen == [Settings(n_waves=3, inner="S")]
        controls.set(n_waves=3)
        assert len(seen) == 1, "no change, no call"
        controls.reset()
        assert seen[1:] == [Settings()]

    def test_ranges_visit_ends_middle_and_all_options(self) -> None:
        ranges = Controls(Settings).ranges()
        assert ranges["n_waves"] == (1, 3, 4)
        assert ranges["n_points"] == (2, 16, 64)
        assert ranges["shape"] == ("sine", "saw", "broken", "wrong")
        assert ranges["inner"] == ("E", "S")
        assert ranges["markers"] == (False, True)
        assert ranges["offset"] == (-1.0, 0.0, 1.0)
        assert ranges["frequency"][0] == 0.1
        assert ranges["frequency"][-1] == 30.0

    def test_log_slider_has_round_values_and_the_default(self) -> None:
        values = [value for _, value in Controls(Settings).widgets["frequency"].options]
        assert 10.0 in values
        assert values == sorted(values)
        assert all(value == float(f"{value:.2g}") for value in values)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"speed": 1}, "no control named .*speed.*n_waves"),
            ({"n_waves": 9}, "n_waves must be one of 1, 2, 3, 4; got 9"),
            ({"shape": "round"}, "shape must be one of sine, saw, broken, wrong; got 'round'"),
        ],
    )
    def test_set_names_what_is_wrong(self, fields: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Controls(Settings).set(**fields)

    def test_out_of_bounds_names_control_bounds_and_value(self) -> None:
        controls = Controls(Settings)
        controls.set(offset=3.0)
        with pytest.raises(ValueError, match="b, offset must be from -1 to 1, got 3"):
            _ = controls.value

    def test_declarations_are_checked(self) -> None:
        @dataclass(frozen=True)
        class Bare:
            n: int = 3

        with pytest.raises(ValueError, match=r"fields without a control.*n"):
            Controls(Bare)
        with pytest.raises(ValueError, match="must be a dataclass"):
            Controls(int)
        with pytest.raises(ValueError, match="K must be one of 1, 2; got 3"):
            slider(1, 2, default=3, label="K")


class TestExplorer:
    def test_first_figure_is_final_at_construction(self) -> None:
        explorer = make()
        assert explorer.shown is not None
        assert explorer.shown.progress == 1.0
        assert len(explorer.figure.content.data) == 2
        assert explorer.view.summary.value == "part 3, α = 10"

    def test_a_control_redraws(self) -> None:
        explorer = make()
        before = explorer.figure.figure
        explorer.controls.widgets["frequency"].value = 0.1
        assert explorer.view.summary.value == "part 3, α = 0.1"
        assert explorer.figure.figure != before
        np.testing.assert_allclose(explorer.figure.content.data[0].y, np.arange(16) * 0.1)

    def test_every_control_through_its_range(self) -> None:
        explorer = make()
        for field, values in explorer.controls.ranges().items():
            explorer.controls.reset()
            for value in set(values) - {"broken", "wrong"}:
                result = explorer.run(**{field: value})
                assert getattr(result.settings, field) == value
                assert len(explorer.figure.content.data) == result.settings.n_waves

    def test_bad_settings_leave_the_figure_and_say_why(self) -> None:
        explorer = make()
        shown = explorer.shown
        explorer.controls.widgets["offset"].value = 7.0
        assert 'role="alert"' in explorer.view.alert.value
        assert "b, offset must be from -1 to 1, got 7" in explorer.view.alert.value
        assert explorer.shown is shown
        assert explorer.view.alert.layout.display != "none"
        explorer.controls.widgets["offset"].value = 0.5
        assert explorer.view.alert.value == ""
        assert explorer.view.alert.layout.display == "none"
        explorer.controls.set(shape="saw", n_waves=4)
        assert "at most 3 waves" in explorer.view.alert.value
        explorer.view.seed.value = -1
        assert "seed must be" in explorer.view.alert.value

    def test_an_error_in_compute_is_a_message(self) -> None:
        explorer = make()
        explorer.controls.widgets["shape"].value = "wrong"
        assert "wrong is not a shape" in explorer.view.alert.value

    def test_an_unforeseen_error_is_named_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        explorer = make()
        with caplog.at_level(logging.ERROR):
            explorer.controls.widgets["shape"].value = "broken"
        assert "ZeroDivisionError: no part two" in explorer.view.alert.value
        assert "Traceback" in caplog.text
        assert "in compute" in caplog.text

    def test_run_raises(self) -> None:
        explorer = make()
        with pytest.raises(ZeroDivisionError):
            explorer.run(shape="broken")

    def test_final_results_are_cached_by_settings_and_seed(self) -> None:
        explorer = make()
        explorer.run(n_waves=3)
        n_calls = len(calls)
        explorer.run(n_waves=2)
        assert len(calls) == n_calls
        explorer.run(n_waves=2, seed=5)
        assert len(calls) == n_calls + 3

    def test_new_seed_and_reset(self) -> None:
        explorer = make(seed=4)
        explorer.view.buttons["new seed"].click()
        assert explorer.shown.seed == 5
        explorer.controls.set(n_waves=4)
        explorer.view.buttons["reset"].click()
        assert (explorer.shown.settings, explorer.shown.seed) == (Settings(), 4)
        assert explorer.view.seed.value == 4

    @pytest.mark.parametrize("seeded", [True, False])
    def test_a_seed_is_offered_where_it_means_something(self, seeded: bool) -> None:
        explorer = Explorer(Settings, compute, draw, lambda s, seed: "", title="waves", seeded=seeded)
        shown, todo = [], [explorer.view.root]
        while todo:
            shown.append(todo.pop())
            todo += getattr(shown[-1], "children", ())
        assert (explorer.view.seed in shown) == (explorer.view.buttons["new seed"] in shown) == seeded
        assert explorer.view.buttons["reset"] in shown

    def test_show_code_is_escaped_and_follows_the_figure(self) -> None:
        explorer = make()
        assert explorer.view.code.layout.display == "none"
        explorer.view.show_code.value = True
        assert explorer.view.code.layout.display != "none"
        explorer.run(n_waves=3, seed=2)
        assert "waves(3, seed=2)  # &lt;b&gt;" in explorer.view.code.value

    def test_download_sends_the_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        explorer, sent = make(), []
        monkeypatch.setattr(explorer.view.page, "send", sent.append)
        explorer.view.buttons["download"].click()
        assert sent[0]["filename"] == "waves.csv"
        assert sent[0]["text"].startswith("y\n0.0\n10.0\n")

    def test_displays_as_a_widget(self) -> None:
        data = make()._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in str(data)


class TestRefinement:
    def test_on_a_loop_the_first_result_is_immediate_and_the_rest_follows(self) -> None:
        async def play() -> None:
            explorer = make()
            explorer.controls.widgets["n_waves"].value = 3
            assert explorer.shown.result.part == 1
            assert explorer.view.buttons["cancel"].layout.display == ""
            await asyncio.sleep(0.3)
            assert explorer.shown.result.part == 3
            assert explorer.view.buttons["cancel"].layout.display == "none"

        asyncio.run(play())

    def test_a_new_change_ends_the_old_work(self) -> None:
        async def play() -> None:
            explorer = make()
            calls.clear()
            explorer.controls.widgets["n_waves"].value = 3
            explorer.controls.widgets["n_waves"].value = 4
            await asyncio.sleep(0.3)
            assert [(settings.n_waves, part) for settings, _, part in calls] == [(3, 1), (4, 1), (4, 2), (4, 3)]
            assert explorer.shown.settings.n_waves == 4

        asyncio.run(play())

    def test_cancel_keeps_the_part_and_does_not_cache_it(self) -> None:
        async def play() -> None:
            explorer = make()
            explorer.controls.widgets["n_waves"].value = 3
            explorer.view.buttons["cancel"].click()
            await asyncio.sleep(0.1)
            assert explorer.shown.result.part == 1
            assert "Stopped at 33%" in explorer.view.status.value
            assert explorer.run().part == 3

        asyncio.run(play())

    def test_a_late_error_is_a_message(self) -> None:
        async def play() -> None:
            explorer = make()
            explorer.controls.widgets["shape"].value = "broken"
            await asyncio.sleep(0.2)
            assert "no part two" in explorer.view.alert.value
            assert explorer.view.buttons["cancel"].layout.display == "none"

        asyncio.run(play())

    def test_pieces_are_computed_on_one_thread(self) -> None:
        seen = []

        def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
            for part in (1, 2):
                seen.append(torch.get_num_threads())
                yield part / 2, Result(settings, part, np.arange(2.0))

        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            Explorer(Settings, compute, draw, lambda settings, seed: "", title="threads")
            assert seen == [1, 1]
            assert torch.get_num_threads() == 2, "what the reader computes has all threads"
        finally:
            torch.set_num_threads(before)

    def test_compute_must_yield(self) -> None:
        with pytest.raises(RuntimeError, match="yielded no result"):
            Explorer(Settings, lambda settings, seed: iter(()), draw, lambda s, seed: "", title="nothing")


class TestFigure:
    def test_the_page_gets_the_whole_figure(self) -> None:
        first = go.Figure([go.Scatter(y=[1, 2])], base_layout("a", annotations=[{"text": "t", "x": 0}]))
        second = go.Figure([go.Bar(y=[1]), go.Scatter(y=[2])], base_layout("b", yaxis={"type": "log"}))
        live = LiveFigure(first)
        assert json.loads(live.figure) == json.loads(first.to_json())
        live.update(second)
        sent = json.loads(live.figure)
        assert [trace["type"] for trace in sent["data"]] == ["bar", "scatter"]
        assert sent["layout"]["yaxis"]["type"] == "log"
        assert "annotations" not in sent["layout"]

    def test_without_content_there_is_nothing_to_draw_yet(self) -> None:
        live = LiveFigure()
        assert live.figure == ""
        live.update(go.Figure([go.Bar(y=[1])]))
        assert json.loads(live.figure)["data"][0]["type"] == "bar"

    def test_plotly_is_sent_once_for_all_figures(self) -> None:
        one, two = LiveFigure(), LiveFigure()
        assert one.plotly == two.plotly
        assert len(str(LiveFigure._esm)) < 4_000

    def test_show_says_what_the_figure_shows(self) -> None:
        box = show(go.Figure(), "bias < variance")
        assert [child.value for child in box.children if isinstance(child, widgets.HTML)] == ["bias &lt; variance"]

    def test_series_differ_in_more_than_colour(self) -> None:
        styles = [line_style(i) for i in range(6)]
        assert len({str(s["line"]["dash"]) for s in styles}) == len({str(s["marker"]["symbol"]) for s in styles}) == 6

    def test_layout_overrides_win(self) -> None:
        assert base_layout("t", yaxis_range=[0, 1], height=300).to_plotly_json()["height"] == 300
