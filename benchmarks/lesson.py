"""Run one lesson in a kernel; print its wall time in s, the kernel's peak memory in GB, and the slowest cell in s."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

PEAK = """
import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6))
"""


def main(path: Path) -> None:
    """Execute the notebook and one more cell that asks the kernel for its peak memory."""
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(PEAK))
    client = NotebookClient(book, timeout=300, resources={"metadata": {"path": str(path.parent)}})
    times: list[float] = []
    begin = time.perf_counter()
    with client.setup_kernel():
        for index, cell in enumerate(book.cells):
            started = time.perf_counter()
            client.execute_cell(cell, index)
            times.append(time.perf_counter() - started)
    wall = time.perf_counter() - begin
    peak = float(book.cells[-1].outputs[0]["text"])
    print(wall, peak, max(times))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
