"""The parts of an explorer on the page, and nothing but: what they mean is decided in `explorer`."""

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import ipywidgets as widgets

from gmrl_lab.explorers.accessibility import PageHelper
from gmrl_lab.explorers.controls import Controls, css_class

S = TypeVar("S")


class View:
    """Controls on top, then the figure, its text, the buttons, and the code on request."""

    def __init__(
        self,
        title: str,
        controls: Controls[S],
        figure: widgets.DOMWidget,
        seed: int,
        *,
        seeded: bool,
        downloadable: bool,
    ) -> None:
        self._muted = False
        self.seed = widgets.IntText(value=seed, description="<b>seed</b>", description_allow_html=True)
        self.seed.add_class("gmrl-control").add_class(css_class("seed"))
        self.alert = widgets.HTML(layout={"display": "none"})
        self.summary = widgets.HTML().add_class("gmrl-summary")
        self.code = widgets.HTML(layout={"display": "none"})
        self.progress = widgets.FloatProgress(max=1.0, layout={"width": "160px", "display": "none"})
        self.progress.add_class("gmrl-progress")
        self.status = widgets.HTML().add_class("gmrl-status")
        self.buttons = _buttons(downloadable)
        self.show_code = widgets.ToggleButton(description="Show code", tooltip="The lines that reproduce this figure")
        self.show_code.layout.width = "auto"
        self.show_code.observe(self._toggle_code, names="value")
        names = {**controls.names(), css_class("seed"): "seed of the random numbers", "gmrl-progress": "progress"}
        self.page = PageHelper(title=title, names=names)
        self.root = self._assemble(title, controls, figure, seeded)

    def _assemble(self, title: str, controls: Controls[S], figure: widgets.DOMWidget, seeded: bool) -> widgets.VBox:
        if seeded:
            controls.box.children = (*controls.box.children, self.seed)
        left = [self.buttons[name] for name in (["new seed", "reset"] if seeded else ["reset"])]
        right = [self.buttons["download"]] if "download" in self.buttons else []
        row = widgets.HBox([*left, self.show_code, *right, self.progress, self.buttons["cancel"], self.status])
        heading = widgets.HTML(f'<div class="gmrl-title">{html.escape(title)}</div>')
        parts = [heading, controls.box, self.alert, figure, self.summary, row.add_class("gmrl-buttons"), self.code]
        return widgets.VBox([*parts, self.page]).add_class("gmrl-explorer")

    def show(self, summary: str, code: str, progress: float) -> None:
        """A result has been drawn: its text, its code, and how far it is."""
        self.alert.layout.display = "none"
        self.alert.value = ""
        self.summary.value = html.escape(summary)
        self.page.summary = summary
        self.code.value = f'<pre class="gmrl-code" tabindex="0" aria-label="code">{html.escape(code)}</pre>'
        self.progress.value = progress
        self.status.value = "" if progress == 1.0 else f"computing, {progress:.0%} done"
        self._set_running(progress < 1.0)

    def idle(self, status: str = "") -> None:
        """Nothing is being computed."""
        self.status.value = html.escape(status)
        self._set_running(False)

    def alarm(self, message: str) -> None:
        """Say what is wrong; the last good figure stays."""
        self.alert.value = f'<div class="gmrl-alert" role="alert">{html.escape(message)}</div>'
        self.alert.layout.display = ""

    def on_click(self, button: str, callback: Callable[[], None]) -> None:
        """Call `callback` when the named button is pressed."""
        self.buttons[button].on_click(lambda _button: callback())

    def on_seed(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the seed is changed by the reader."""
        self.seed.observe(lambda _change: None if self._muted else callback(), names="value")

    @contextmanager
    def muted(self) -> Iterator[None]:
        """The seed calls nobody inside."""
        self._muted = True
        try:
            yield
        finally:
            self._muted = False

    def _set_running(self, running: bool) -> None:
        for part in (self.progress, self.buttons["cancel"]):
            part.layout.display = "" if running else "none"

    def _toggle_code(self, change: dict[str, bool]) -> None:
        self.show_code.description = "Hide code" if change["new"] else "Show code"
        self.code.layout.display = "" if change["new"] else "none"


def _buttons(downloadable: bool) -> dict[str, widgets.Button]:
    buttons = {
        "new seed": widgets.Button(description="New seed", tooltip="The same settings with fresh random numbers"),
        "reset": widgets.Button(description="Reset", tooltip="Back to the first settings and seed"),
        "cancel": widgets.Button(description="Cancel", tooltip="Keep what has been computed so far"),
    }
    if downloadable:
        buttons["download"] = widgets.Button(description="Download CSV", tooltip="The numbers behind this figure")
    for button in buttons.values():
        button.layout.width = "auto"
    buttons["cancel"].layout.display = "none"
    return buttons
