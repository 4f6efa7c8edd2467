"""Run, clean and check the lessons: `python tools/lessons.py {run,clean,check,from-script}`.

A committed notebook holds no figures and no widget state. Only cells that carry `# NBVAL_CHECK_OUTPUT` keep their
text output and their execution count, because nbval compares a cell only if it has both.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
MAX_BYTES, MAX_CELLS, MAX_FUNCTION_LINES = 300_000, 60, 10
LONG_FUNCTION_TAG = "teaches-function"
CHECKED_TAG = "nbval-check-output"
CHECKED_COMMENT = re.compile(r"^\s*#\s*NBVAL_CHECK_OUTPUT\b", re.MULTILINE | re.IGNORECASE)
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "version": "3.11"},
}
CELL_METADATA = ("tags", "nbgrader", "slideshow", "jupyter")
PLAIN = {"text/plain", "text/html", "text/markdown", "text/latex"}
MACHINE_PATHS = re.compile(r"(?<![\w/:.)}\]<*^~])/[A-Za-z]\w+/[\w.]|\b[A-Za-z]:\\+(?:Users|Windows)\b|(?<!\w)~/\w")


def is_checked(cell: NotebookNode) -> bool:
    """Whether nbval compares the output of this cell."""
    tags = cell.metadata.get("tags", [])
    return cell.cell_type == "code" and (CHECKED_TAG in tags or CHECKED_COMMENT.search(cell.source) is not None)


def is_plain(output: NotebookNode) -> bool:
    """Whether an output is text: what was printed, or a value without figure or widget."""
    if output.output_type == "stream":
        return bool(output.name == "stdout")
    return output.output_type in ("execute_result", "display_data") and set(output.data) <= PLAIN


def clean(notebook: NotebookNode) -> NotebookNode:
    """A clean copy: no figures, widgets, errors, stderr or counts, except text and counts of checked cells."""
    copy = nbformat.from_dict({"cells": [], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})
    used: set[str] = set()
    for cell in notebook.cells:
        kept = NotebookNode(cell_type=cell.cell_type, source=cell.source.rstrip("\n"))
        kept.id = _cell_id(cell, used)
        kept.metadata = {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        if cell.get("attachments"):
            kept.attachments = cell.attachments
        if cell.cell_type == "code":
            checked = is_checked(cell)
            kept.execution_count = cell.get("execution_count") if checked else None
            kept.outputs = _plain_outputs(cell) if checked else []
        copy.cells.append(nbformat.from_dict(kept))
    return copy


def _cell_id(cell: NotebookNode, used: set[str]) -> str:
    """The cell's own id if it is valid and free, else one made from its source, so that it is the same each time."""
    own, attempt = str(cell.get("id", "")), 0
    while not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", own) or own in used:
        own = hashlib.sha256(f"{attempt}{cell.cell_type}{cell.source.rstrip()}".encode()).hexdigest()[:8]
        attempt += 1
    used.add(own)
    return own


def _plain_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Text outputs, with pieces of what was printed joined: where it is cut depends on timing."""
    kept: list[NotebookNode] = []
    for output in filter(is_plain, cell.outputs):
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
            continue
        kept.append(NotebookNode(output))
        if output.output_type != "stream":
            kept[-1].metadata = {}
        if output.output_type == "execute_result":
            kept[-1].execution_count = cell.execution_count
    return kept


def dumps(notebook: NotebookNode) -> str:
    """The one way to write a notebook: sorted keys, one space of indentation, a newline at the end."""
    return str(nbformat.writes(notebook, sort_keys=True, indent=1, ensure_ascii=False)).rstrip("\n") + "\n"


def write(path: Path, notebook: NotebookNode) -> bool:
    """Write to a temporary name and rename; says whether anything changed."""
    text = dumps(notebook)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def problems(path: Path) -> list[str]:
    """Why a notebook must not be committed as it is; empty if it is clean."""
    try:
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        return [f"not a valid notebook: {str(error).splitlines()[0]}"]
    found = list(_notebook_problems(path, notebook))
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number} ({cell.get('id', 'no id')}): {problem}" for problem in _cell_problems(cell)]
    if not found and dumps(clean(notebook)) != text:
        found.append("not in the form that `python tools/lessons.py clean` writes (ids, metadata or layout)")
    return found


def _notebook_problems(path: Path, notebook: NotebookNode) -> Iterator[str]:
    size = path.stat().st_size
    if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name):
        yield "the name is not of the form NN_topic.ipynb"
    if size > MAX_BYTES:
        yield f"{size / 1000:.0f} KB, where {MAX_BYTES / 1000:.0f} KB are allowed"
    if len(notebook.cells) > MAX_CELLS:
        yield f"{len(notebook.cells)} cells, where {MAX_CELLS} are allowed"
    if "widgets" in notebook.metadata:
        yield "widget state is stored in the notebook's metadata"
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids:
        yield f"{ids.count(None)} cells have no id"


def _cell_problems(cell: NotebookNode) -> Iterator[str]:
    if match := MACHINE_PATHS.search(cell.source):
        yield f"names a path of one machine ({match.group(0)}…)"
    if cell.cell_type != "code":
        return
    yield from _code_problems(cell)
    outputs = cell.outputs
    if any(output.output_type == "error" for output in outputs):
        yield "an error is stored"
    if not is_checked(cell):
        if outputs:
            yield "has an output, but no # NBVAL_CHECK_OUTPUT"
        if cell.execution_count is not None:
            yield "has an execution count, but no # NBVAL_CHECK_OUTPUT"
        return
    if cell.execution_count is None or not outputs:
        yield "carries # NBVAL_CHECK_OUTPUT, but nothing is stored to compare: run it, and let it print its numbers"
    for output in outputs:
        if output.output_type != "error" and not is_plain(output):
            yield "is compared by nbval, so it may print text only: move figures, widgets and warnings elsewhere"
        if match := MACHINE_PATHS.search(str(output.get("text", output.get("data", "")))):
            yield f"its output names a path of one machine ({match.group(0)}…)"


def _code_problems(cell: NotebookNode) -> Iterator[str]:
    if cell.source.lstrip().startswith("%%"):
        return
    try:
        tree = ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))
    except SyntaxError as error:
        yield f"is not valid Python: {error.msg}, line {error.lineno}"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES and LONG_FUNCTION_TAG not in cell.metadata.get("tags", []):
                yield (
                    f"{node.name}() has {lines} lines: more than {MAX_FUNCTION_LINES} belong into the package "
                    f'(or the cell gets the tag "{LONG_FUNCTION_TAG}")'
                )


def execute(path: Path, timeout: int) -> NotebookNode:
    """Run a notebook in its own folder and return it with its outputs; raises at the first cell that fails."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    started = [time.perf_counter()]

    def begin(cell: NotebookNode, cell_index: int) -> None:
        started[0] = time.perf_counter()

    def end(cell: NotebookNode, cell_index: int, **_: Any) -> None:
        if cell.cell_type == "code":
            seconds = time.perf_counter() - started[0]
            first = next(iter(cell.source.splitlines()), "")[:60]
            print(f"  cell {cell_index + 1:>2}/{len(notebook.cells)} {seconds:6.2f} s  {first}", flush=True)

    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.resolve().parent)}},
        on_cell_start=begin,
        on_cell_executed=end,
    )
    client.execute()
    return notebook


def run_one(path: Path, timeout: int) -> list[str]:
    """Execute, clean and write one notebook. A failure leaves the file as it was."""
    print(path.name, flush=True)
    try:
        executed = execute(path, timeout)
    except Exception as error:
        return [str(error)]
    found = [
        f"cell {number} is compared by nbval, so it may print text only: move figures, widgets and warnings elsewhere"
        for number, cell in enumerate(executed.cells, start=1)
        if is_checked(cell) and not all(is_plain(output) for output in cell.outputs)
    ]
    if not found:
        print("  written" if write(path, clean(executed)) else "  unchanged")
    return found


def clean_one(path: Path) -> list[str]:
    """Clean one notebook in place, without running it."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return [f"not a valid notebook: {str(error).splitlines()[0]}"]
    print(f"{path.name}: {'cleaned' if write(path, clean(notebook)) else 'was clean'}")
    return []


def convert_one(script: Path, folder: Path) -> list[str]:
    """Make a notebook of a percent script. Cells whose source did not change keep their id, text and count."""
    try:
        import jupytext
    except ModuleNotFoundError:
        return ["this needs jupytext: pip install jupytext"]
    path = folder / script.with_suffix(".ipynb").name
    notebook = jupytext.read(script, fmt="py:percent")
    old: dict[tuple[str, str], list[NotebookNode]] = {}
    for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
        old.setdefault((cell.cell_type, cell.source.rstrip()), []).append(cell)
    for cell in notebook.cells:
        cell.pop("id", None)
        if before := old.get((cell.cell_type, cell.source.rstrip())):
            kept = before.pop(0)
            cell.update({key: kept[key] for key in ("id", "outputs", "execution_count") if key in kept})
    print(f"{path}: {'written' if write(path, clean(notebook)) else 'unchanged'}")
    return []


def _paths(names: Sequence[str], folder: Path) -> list[Path]:
    """Notebooks by path, by file name, by stem or by number (`02`); all of them if none is named."""
    everything = sorted(folder.glob("*.ipynb"))
    if not names:
        return everything
    chosen: list[Path] = []
    for name in names:
        matches = [path for path in everything if name in (path.name, path.stem, path.stem[:2])]
        if not matches and Path(name).is_file():
            matches = [Path(name)]
        if not matches:
            raise SystemExit(f"no notebook {name!r}; {folder} has {', '.join(p.stem for p in everything) or 'none'}")
        chosen += matches
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("run", "execute, then clean, in place"), ("clean", "clean in place"), ("check", "only look")):
        command = commands.add_parser(name, help=words)
        command.add_argument("names", nargs="*", help="numbers, names or paths; all lessons by default")
        command.add_argument("--folder", type=Path, default=FOLDER)
        if name == "run":
            command.add_argument("--timeout", type=int, default=120, help="seconds per cell")
    convert = commands.add_parser("from-script", help="make notebooks of jupytext percent scripts")
    convert.add_argument("names", nargs="+", help="scripts, NN_topic.py")
    convert.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    actions: dict[str, Callable[[Path], list[str]]] = {
        "run": lambda path: run_one(path, options.timeout),
        "clean": clean_one,
        "check": problems,
        "from-script": lambda path: convert_one(path, options.folder),
    }
    scripts = options.command == "from-script"
    paths = [Path(name) for name in options.names] if scripts else _paths(options.names, options.folder)
    bad = 0
    for path in paths:
        found = actions[options.command](path)
        bad += bool(found)
        for problem in found:
            print(f"{path.name}: {problem}", file=sys.stderr)
    if options.command == "check":
        print(f"{len(paths) - bad} of {len(paths)} notebooks are clean")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
