"""A demo explorer, independent of the lessons, in a real JupyterLab and a real Chromium."""

import textwrap
from collections.abc import Iterator

import nbformat
import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage, redraw_latencies
from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

DEMO = """
from dataclasses import dataclass
import time
import numpy as np, pandas as pd, plotly.graph_objects as go
from gmrl_lab.explorers import *

@dataclass(frozen=True)
class Settings:
    n_waves: int = slider(1, 6, default=3, label="K", help="number of waves")
    frequency: float = log_slider(0.1, 30.0, default=10.0, label="α", help="frequency")
    n_points: int = powers_of_two(2, 256, default=128, label="|τ|", help="points")
    shape: str = choice("sine", "saw", default="sine", label="shape", help="of the waves")
    inner: str = toggles({"E": "exact", "S": "sampled", "B": "expected"}, default="E", label="inner", help="oracle")
    hessian: str = toggles({"E": "exact", "S": "sampled", "B": "expected"}, default="S", label="Hessian", help="oracle")
    slow: bool = switch(default=False, label="slow", help="in forty pieces")
    offset: float = number(-1.0, 1.0, default=0.0, label="b", help="offset")

def compute(settings, seed):
    noise = np.random.default_rng(seed).normal(size=settings.n_points) * (settings.inner == "S")
    x = np.linspace(0, 1, settings.n_points)
    waves = np.array([np.sin(settings.frequency * x + i) + settings.offset + 0.1 * noise
                      for i in range(settings.n_waves)])
    n_parts = 40 if settings.slow else 1
    for part in range(1, n_parts + 1):
        if settings.slow:
            time.sleep(0.05)
        yield part / n_parts, (settings, part / n_parts, x, waves)

def draw(result):
    settings, part, x, waves = result
    traces = [go.Scatter(x=x, y=wave, name=f"wave {i + 1}", mode="lines+markers", **line_style(i))
              for i, wave in enumerate(waves)]
    figure = go.Figure(traces, base_layout("Waves", x="time t", y="∇J(θ)"))
    summary = f"{len(waves)} waves of frequency α = {settings.frequency:g}, mean {waves.mean():.2f}, {part:.0%} done."
    return figure, summary

explorer = Explorer(
    Settings, compute, draw,
    lambda settings, seed: f"gl.waves(n={settings.n_waves}, frequency={settings.frequency:g}, seed={seed})",
    table=lambda result: pd.DataFrame(result[3].T), title="Waves: a demonstration",
)
explorer
"""

LATE = """
import ipywidgets as widgets
from gmrl_lab.explorers.figures import LiveFigure
from gmrl_lab.plots import Panel, side_by_side

late, arrives = LiveFigure(), widgets.Button(description="The first result arrives")
bare = [{"type": "scatter", "x": [], "y": []}]
panels = [Panel("bare", bare), Panel("bare too", bare)]
arrives.on_click(lambda _button: late.update(side_by_side(panels)))
widgets.VBox([late, arrives])
"""


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    cells = [
        nbformat.v4.new_markdown_cell("# A demonstration"),
        nbformat.v4.new_code_cell(textwrap.dedent(DEMO).strip()),
        nbformat.v4.new_code_cell(LATE.strip()),
        *(nbformat.v4.new_code_cell(f"print('cell', {i})") for i in range(60)),
        nbformat.v4.new_code_cell(""),
        nbformat.v4.new_code_cell("import time; time.sleep(1); print('the ' + 'end')"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    demo = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(demo, lab.root / "demo.ipynb")
    page = NotebookPage(browser, lab, "demo.ipynb", height=2400)
    page.run_all()
    assert page.page.get_by_text("the end", exact=True).count() == 1
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Waves: a demonstration")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"3 waves of frequency α = 10, .* 100% done")
    return explorer


def test_keyboard_moves_slider_and_figure_follows(explorer: ExplorerOnPage) -> None:
    slider = explorer.slider("α, frequency")
    explorer.wait_until(lambda: slider.get_attribute("aria-valuetext") == "10")
    before = explorer.figure.locator(".scatterlayer path.js-line").first.get_attribute("d")
    explorer.press(slider, "ArrowLeft")
    summary = explorer.wait_for_summary("α = 7.5")
    line = explorer.figure.locator(".scatterlayer path.js-line").first
    explorer.wait_until(lambda: line.get_attribute("d") != before)
    explorer.wait_until(lambda: explorer.figure.get_attribute("aria-label") == summary)
    assert slider.get_attribute("aria-valuetext") in summary


def test_structure_changes_in_place(explorer: ExplorerOnPage) -> None:
    explorer.press(explorer.slider("K, number of waves"), "End")
    explorer.wait_for_summary("^6 waves")
    explorer.wait_until(lambda: explorer.figure.locator(".scatterlayer .trace").count() == 6)


def test_toggles_and_lists_work_by_keyboard(explorer: ExplorerOnPage) -> None:
    inner = explorer.control("group", "inner, oracle")
    sampled = inner.get_by_role("button", name="S")
    assert inner.get_by_role("button", name="E").get_attribute("aria-pressed") == "true"
    explorer.press(sampled, "Enter")
    explorer.wait_until(lambda: sampled.get_attribute("aria-pressed") == "true")
    explorer.control("combobox", "shape").select_option("saw")


def test_bad_entry_is_an_alert_and_the_figure_stays(explorer: ExplorerOnPage) -> None:
    summary = explorer.summary
    entry = explorer.control("spinbutton", "b, offset")
    entry.fill("7")
    entry.press("Enter")
    alert = explorer.root.get_by_role("alert")
    alert.wait_for()
    assert "b, offset must be from -1 to 1, got 7" in alert.inner_text()
    assert explorer.summary == summary
    explorer.screenshot("framework-alert")
    explorer.press(explorer.button("Reset"), "Enter")
    alert.wait_for(state="detached")


def test_slow_work_shows_progress_and_can_be_cancelled(explorer: ExplorerOnPage) -> None:
    explorer.control("checkbox", "slow").check()
    cancel = explorer.button("Cancel")
    cancel.wait_for()
    assert explorer.root.get_by_role("progressbar", name="progress").is_visible()
    explorer.screenshot("framework-running")
    cancel.click()
    cancel.wait_for(state="hidden")
    assert "100% done" not in explorer.summary
    explorer.wait_until(lambda: "Stopped at" in explorer.root.locator(".gmrl-status").inner_text())


def test_a_slider_interrupts_slow_work(explorer: ExplorerOnPage) -> None:
    explorer.control("checkbox", "slow").check()
    explorer.button("Cancel").wait_for()
    explorer.press(explorer.slider("α, frequency"), "ArrowRight")
    explorer.wait_for_summary("α = 1[1-9]")
    explorer.wait_for_summary("100% done")


def test_code_and_csv(notebook: NotebookPage, explorer: ExplorerOnPage) -> None:
    explorer.button("Show code").click()
    explorer.root.get_by_text("gl.waves(n=3, frequency=10, seed=0)").wait_for()
    explorer.screenshot("framework-code")
    explorer.button("Hide code").click()
    with notebook.page.expect_download() as download:
        explorer.button("Download CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "0,1,2"
    assert len(lines) == 129


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    assert explorer.root.get_by_role("slider").count() == 3


def test_nothing_offers_to_share_the_figure(explorer: ExplorerOnPage) -> None:
    explorer.root.locator('.modebar-btn[data-title="Reset axes"]').first.wait_for(state="attached")
    titles = explorer.root.locator(".modebar-btn").evaluate_all("nodes => nodes.map(node => node.dataset.title)")
    assert "Reset axes" in titles
    assert not [title for title in titles if "hare" in title or "loud" in title]


def test_every_key_press_redraws(explorer: ExplorerOnPage) -> None:
    keys = (["ArrowLeft"] * 5 + ["ArrowRight"] * 5) * 2
    latencies = redraw_latencies(explorer, explorer.slider("α, frequency"), ["ArrowLeft", *keys])
    assert len(latencies) == 20


def test_narrow_window(lab: JupyterLab, browser: Browser, notebook: NotebookPage, explorer: ExplorerOnPage) -> None:
    notebook.page.set_viewport_size({"width": 760, "height": 2400})
    explorer.wait_until(lambda: 0 < width(explorer.root) < 760, 30)
    explorer.wait_until(lambda: 0 < width(explorer.figure) < width(explorer.root), 30)
    explorer.screenshot("framework-narrow")
    notebook.page.set_viewport_size({"width": 1400, "height": 2400})


def width(element: Locator) -> float:
    """On the page; 0 while it is being drawn anew."""
    box = element.bounding_box() if element.count() else None
    return box["width"] if box else 0.0


def test_a_figure_that_comes_late_is_drawn_once(notebook: NotebookPage, explorer: ExplorerOnPage) -> None:
    """Plotly complains when bare axes grow out of an empty figure, which a slow page used to draw first."""
    notebook.page.get_by_role("button", name="The first result arrives").click()
    notebook.page.locator("svg").get_by_text("bare too").wait_for()
    notebook.assert_clean()


def test_nothing_complained(notebook: NotebookPage, explorer: ExplorerOnPage) -> None:
    notebook.screenshot("framework")
    notebook.assert_clean()
