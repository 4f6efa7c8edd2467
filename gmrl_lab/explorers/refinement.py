"""Work in small pieces on the kernel's event loop: the first result at once, better ones while the reader looks."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

R = TypeVar("R")

# Long enough for the kernel to take in a slider's message, short enough not to be felt.
PAUSE = 0.01
# The page draws the first result meanwhile: both at once, on two cores, would take longer than one after the other.
FIRST_PAUSE = 0.1


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
        self._show_first(results)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._drain(results)
        else:
            self._task = loop.create_task(self._refine(results))

    def run(self, results: Iterator[tuple[float, R]]) -> None:
        """Show all results now, without the loop."""
        self.cancel()
        self._show_first(results)
        self._drain(results)

    def cancel(self) -> None:
        """Stop after the piece that is being computed. Harmless if nothing runs."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _show_first(self, results: Iterator[tuple[float, R]]) -> None:
        if not self._show_next(results):
            raise RuntimeError("compute yielded no result; it must yield at least one (progress, result) pair")

    def _show_next(self, results: Iterator[tuple[float, R]]) -> bool:
        """Compute and show one piece; whether there was one."""
        with _one_thread():
            for progress, result in results:
                self._show(progress, result)
                return True
        return False

    def _drain(self, results: Iterator[tuple[float, R]]) -> None:
        while self._show_next(results):
            pass
        self._finished()

    async def _refine(self, results: Iterator[tuple[float, R]]) -> None:
        try:
            await asyncio.sleep(FIRST_PAUSE)
            while self._show_next(results):
                await asyncio.sleep(PAUSE)
        except Exception as error:
            self._task = None
            self._failed(error)
        else:
            self._task = None
            self._finished()


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch's threads wait for each other between small tensors; and the page needs a core to draw on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
