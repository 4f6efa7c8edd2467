"""An explorer: controls → pure `compute` → pure `draw`. This class is the only one with state."""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.figures import LiveFigure
from gmrl_lab.explorers.refinement import Refinement
from gmrl_lab.explorers.view import View

S = TypeVar("S")
R = TypeVar("R")

CACHE_SIZE = 32
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown(Generic[S, R]):
    """What the figure shows now."""

    settings: S
    seed: int
    result: R
    progress: float


class Explorer(Generic[S, R]):
    """Wires a settings dataclass, a computation and a drawing; displays itself as the last expression of a cell.

    Args:
        settings_type: frozen dataclass whose fields are declared by `slider`, `choice`, … (see `controls`).
        compute: pure; yields `(progress, result)` pairs, each result better than the last. The first should come within
            150 ms and no later piece should take longer, since the kernel is deaf to the sliders while it computes one.
        draw: pure; the figure of a result, and one line of text that says the same.
        code: the few lines that reproduce the figure of these settings and this seed.
        table: the result as a table, for *Download CSV*; without it there is no such button.
        title: shown above the controls; Unicode, no LaTeX.
        seed: the first seed.
        seeded: whether `compute` draws random numbers; without them there is no seed to choose.
        start: settings that differ from their defaults at the start; *Reset* returns to these and to `seed`.

    `explorer.run(n_inner_steps=3)` moves controls from code; `explorer.shown` has the latest result.
    """

    def __init__(
        self,
        settings_type: type[S],
        compute: Callable[[S, int], Iterator[tuple[float, R]]],
        draw: Callable[[R], tuple[go.Figure, str]],
        code: Callable[[S, int], str],
        *,
        title: str,
        table: Callable[[R], pd.DataFrame] | None = None,
        seed: int = 0,
        seeded: bool = True,
        start: Mapping[str, object] | None = None,
    ) -> None:
        self._start = dict(start or {})
        self._compute, self._draw, self._code, self._table = compute, draw, code, table
        self._first_seed = seed
        self._filename = re.sub(r"\W+", "-", title.lower()).strip("-") + ".csv"
        self._cache: OrderedDict[tuple[S, int], R] = OrderedDict()
        self._refinement: Refinement[R] = Refinement(self._show, self._finish, self._report)
        self._asked: tuple[S, int]
        self.shown: Shown[S, R] | None = None
        self.controls = Controls(settings_type)
        self.figure = LiveFigure()
        self.view = View(title, self.controls, self.figure, seed, seeded=seeded, downloadable=table is not None)
        # The first figure is computed before any widget can fire, and an error in it fails the cell.
        self._return_to_start()
        self.run()
        self._connect()

    def run(self, *, seed: int | None = None, **fields: object) -> R:
        """Set controls by field name, compute to the end, draw, and return the final result. Errors are raised."""
        with self.controls.muted(), self.view.muted():
            self.controls.set(**fields)
            if seed is not None:
                self.view.seed.value = seed
        self._refinement.cancel()
        self._refinement.run(self._results())
        assert self.shown is not None
        return self.shown.result

    def _connect(self) -> None:
        view = self.view
        self.controls.observe(self._changed)
        view.on_seed(self._changed)
        view.on_click("new seed", self._new_seed)
        view.on_click("reset", self._reset)
        view.on_click("cancel", self._cancel)
        if self._table is not None:
            view.on_click("download", self._download)

    def _changed(self) -> None:
        self._refinement.cancel()
        try:
            self._refinement.start(self._results())
        except Exception as error:
            self._report(error)

    def _results(self) -> Iterator[tuple[float, R]]:
        seed = self.view.seed.value
        if seed < 0:
            raise ValueError(f"seed must be a whole number from 0, got {seed}")
        self._asked = (self.controls.value, seed)
        if self._asked in self._cache:
            self._cache.move_to_end(self._asked)
            return iter([(1.0, self._cache[self._asked])])
        return self._compute(*self._asked)

    def _show(self, progress: float, result: R) -> None:
        figure, summary = self._draw(result)
        self.figure.update(figure)
        self.shown = Shown(*self._asked, result, progress)
        self.view.show(summary, self._code(*self._asked), progress)

    def _finish(self) -> None:
        if self.shown is None:
            return
        self._cache[self._asked] = self.shown.result
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        self.view.idle()

    def _report(self, error: Exception) -> None:
        # A ValueError is written for the reader. Anything else is our mistake: name it, and keep the trace.
        if isinstance(error, ValueError):
            message = str(error)
        else:
            _LOG.error("an explorer failed", exc_info=error)
            message = f"{type(error).__name__}: {error}. This is an error in the explorer; the log has the details."
        self.view.idle()
        self.view.alarm(message)

    def _new_seed(self) -> None:
        self.view.seed.value = max(0, self.view.seed.value) + 1

    def _reset(self) -> None:
        self._return_to_start()
        self._changed()

    def _return_to_start(self) -> None:
        with self.controls.muted(), self.view.muted():
            self.controls.reset()
            self.controls.set(**self._start)
            self.view.seed.value = self._first_seed

    def _cancel(self) -> None:
        if self._refinement.running and self.shown is not None:
            self._refinement.cancel()
            self.view.idle(f"Stopped at {self.shown.progress:.0%}: the figure shows what there was.")

    def _download(self) -> None:
        if self._table is not None and self.shown is not None:
            self.view.page.download(self._filename, self._table(self.shown.result).to_csv(index=False))

    def _repr_mimebundle_(self, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None) -> object:
        return self.view.root._repr_mimebundle_(include=include, exclude=exclude)
