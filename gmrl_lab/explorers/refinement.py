"""Work in small pieces on the kernel's event loop: the first result at once, better ones while the reader looks."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

R = TypeVar("R")

# Long enough for the kernel to take in a slider's message, short enough not to be felt.
PAUSE = 0.01


class Refinement(Generic[R]):
    """Consumes `(progress, result)` pairs: `show` gets each, then `finished` or `failed` is called, unless cancelled.

    A thread would lose its output in Jupyter and race with the widgets; a task on the loop does neither.
    """

    def __init__(
        self, show: Callable[[float, R], None], finished: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._show, self._finished, self._failed = show, finished, failed
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether better results are still to come."""
        return self._task is not None

    def start(self, results: Iterator[tuple[float, R]]) -> None:
        """Show the first result now and the others later (now too where no event loop runs). Ends what ran before."""
        self.cancel()
        self._show(*_first(results))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._drain(results)
        else:
            self._task = loop.create_task(self._refine(results))

    def run(self, results: Iterator[tuple[float, R]]) -> None:
        """Show all results now, without the loop."""
        self.cancel()
        self._show(*_first(results))
        self._drain(results)

    def cancel(self) -> None:
        """Stop after the piece that is being computed. Harmless if nothing runs."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _drain(self, results: Iterator[tuple[float, R]]) -> None:
        for progress, result in results:
            self._show(progress, result)
        self._finished()

    async def _refine(self, results: Iterator[tuple[float, R]]) -> None:
        try:
            await asyncio.sleep(PAUSE)
            for progress, result in results:
                self._show(progress, result)
                await asyncio.sleep(PAUSE)
        except Exception as error:
            self._task = None
            self._failed(error)
        else:
            self._task = None
            self._finished()


def _first(results: Iterator[tuple[float, R]]) -> tuple[float, R]:
    for pair in results:
        return pair
    raise RuntimeError("compute yielded no result; it must yield at least one (progress, result) pair")
