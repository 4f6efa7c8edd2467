"""Run the benchmarks and print one table; `--write` puts it into benchmarks/README.md.

    make bench                        everything, some minutes
    python -m benchmarks sampler …    the named ones

Ratios compare two ways of doing the same work in one run. Absolute times are medians of repeated calls; what else the
machine was doing stands above the table, since these numbers mean little on a busy one.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

import torch

from benchmarks import cases
from benchmarks.measure import Row

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine() -> str:
    """What ran where, and how busy the machine was."""
    names = ("torch", "numpy", "jupyterlab", "plotly", "ipywidgets")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    processor = platform.processor() or platform.machine()
    return (
        f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, {versions}. Load average at the start (1, 5, 15 min): {load}; "
        f"{other_work()}."
    )


def other_work() -> str:
    """How many other processes were running on a core just now."""
    running = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        running += state == "R" and stat.parent.name != str(os.getpid())
    return f"{running} other processes running"


def table(rows: list[Row]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | measured | goal | met |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.measured} | {row.goal or '–'} | {row.verdict} |" for row in rows]
    return "\n".join(lines)


def write(report: str) -> None:
    """Put the report between the marks in the README, written aside and renamed."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"{README.name} has no lines {BEGIN} and {END} to write between.")
    fresh = README.with_suffix(".tmp")
    fresh.write_text(pattern.sub(lambda _: f"{BEGIN}\n{report}\n{END}", text), encoding="utf-8")
    fresh.replace(README)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*cases.ALL, []], help="which; all by default")
    parser.add_argument("--write", action="store_true", help="update benchmarks/README.md")
    arguments = parser.parse_args()
    heading = machine()
    print(heading, flush=True)
    rows: list[Row] = []
    for name in arguments.names or cases.ALL:
        print(f"... {name}", file=sys.stderr, flush=True)
        rows += cases.ALL[name]()
    report = f"{heading}\n\n{table(rows)}"
    print("\n" + table(rows))
    if arguments.write:
        write(report)


if __name__ == "__main__":
    main()
