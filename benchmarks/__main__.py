"""Run the benchmarks and print their tables; `--write` puts each into benchmarks/README.md when it is done.

    make bench                        everything, some minutes
    python -m benchmarks sampler …    the named ones

Ratios compare two ways of doing the same work in one run. Absolute times are medians of repeated calls; what else the
machine was doing stands above each table, since these numbers mean little on a busy one.
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


def write(reports: dict[str, str]) -> None:
    """Put each report under its name between the marks in the README, written aside and renamed; others stay."""
    text = README.read_text(encoding="utf-8")
    start, kept, rest = re.split(f"(?s){BEGIN}\n(.*?){END}", text, maxsplit=1)
    sections = dict(re.findall(r"(?ms)^### (\w+)\n\n(.*?)\n\n(?=^### |\Z)", kept)) | reports
    parts = "".join(f"### {name}\n\n{sections[name]}\n\n" for name in cases.ALL if name in sections)
    fresh = README.with_suffix(".tmp")
    fresh.write_text(f"{start}{BEGIN}\n{parts}{END}{rest}", encoding="utf-8")
    fresh.replace(README)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*cases.ALL, []], help="which; all by default")
    parser.add_argument("--write", action="store_true", help="update these in benchmarks/README.md")
    arguments = parser.parse_args()
    for name in arguments.names or cases.ALL:
        print(f"... {name}", file=sys.stderr, flush=True)
        heading = machine()
        report = f"{heading}\n\n{table(cases.ALL[name]())}"
        print(f"\n### {name}\n\n{report}", flush=True)
        if arguments.write:
            write({name: report})


if __name__ == "__main__":
    main()
