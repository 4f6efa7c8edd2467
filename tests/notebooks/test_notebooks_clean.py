"""Every committed notebook is clean, and the checker that says so rejects what it must."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lessons_tool", ROOT / "tools" / "lessons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lessons_tool"] = module
    spec.loader.exec_module(module)
    return module


lessons = _load()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_clean(path: Path) -> None:
    assert lessons.problems(path) == []


def _sample() -> NotebookNode:
    printed = new_output("stream", name="stdout", text="bias 0.0058\n")
    return new_notebook(
        cells=[
            new_markdown_cell("# A lesson\nA slope of −½, $a/b$, https://example.org/one/two."),
            new_code_cell("# NBVAL_CHECK_OUTPUT\nprint('bias 0.0058')", execution_count=1, outputs=[printed]),
            new_code_cell("figure = 1"),
        ]
    )


def _write(folder: Path, notebook: NotebookNode, name: str = "02_sample.ipynb") -> Path:
    path = folder / name
    path.write_text(lessons.dumps(notebook), encoding="utf-8")
    return path


def _figure(mimetype: str = "application/vnd.plotly.v1+json") -> NotebookNode:
    return new_output("display_data", data={mimetype: {}, "text/plain": "FigureWidget"})


def _error() -> NotebookNode:
    return new_output("error", ename="ValueError", evalue="no", traceback=[])


def _function(lines: int) -> str:
    return "def helper():\n" + "    x = 1\n" * (lines - 1)


SPOILED: dict[str, tuple[Callable[[NotebookNode], object], str]] = {
    "output of an unchecked cell": (lambda nb: nb.cells[2].outputs.append(_figure()), "has an output"),
    "count of an unchecked cell": (lambda nb: nb.cells[2].update(execution_count=3), "has an execution count"),
    "widget state": (lambda nb: nb.metadata.update(widgets={"state": {}}), "widget state"),
    "stored error": (lambda nb: nb.cells[1].outputs.append(_error()), "an error is stored"),
    "figure in a checked cell": (lambda nb: nb.cells[1].outputs.append(_figure()), "text only"),
    "widget in a checked cell": (
        lambda nb: nb.cells[1].outputs.append(_figure("application/vnd.jupyter.widget-view+json")),
        "text only",
    ),
    "warning in a checked cell": (
        lambda nb: nb.cells[1].outputs.append(new_output("stream", name="stderr", text="careful")),
        "text only",
    ),
    "checked cell without count": (lambda nb: nb.cells[1].update(execution_count=None), "nothing is stored"),
    "checked cell without output": (lambda nb: nb.cells[1].update(outputs=[]), "nothing is stored"),
    "long function": (lambda nb: nb.cells[2].update(source=_function(11)), "helper() has 11 lines"),
    "not Python": (lambda nb: nb.cells[2].update(source="def ("), "not valid Python"),
    "too large": (lambda nb: nb.cells[0].update(source="word " * 70_000), "300 KB"),
    "too many cells": (
        lambda nb: nb.cells.extend(new_code_cell(f"x = {i}") for i in range(60)),
        "63 cells, where 60",
    ),
    "path in text": (lambda nb: nb.cells[0].update(source="See `/home/someone/notes`."), "path of one machine"),
    "path in code": (lambda nb: nb.cells[2].update(source="open('/usr/share/x')"), "path of one machine"),
    "home in code": (lambda nb: nb.cells[2].update(source="open('~/x')"), "path of one machine"),
    "path in an output": (
        lambda nb: nb.cells[1].outputs[0].update(text="/home/someone/notebook.py:1: note\n"),
        "output names a path",
    ),
    "foreign metadata": (lambda nb: nb.metadata.update(author="someone"), "not in the form"),
    "other kernel": (lambda nb: nb.metadata.kernelspec.update(name="julia"), "not in the form"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED.keys())
def test_checker_rejects(spoil: Callable[[NotebookNode], object], words: str, tmp_path: Path) -> None:
    notebook = lessons.clean(_sample())
    assert lessons.problems(_write(tmp_path, notebook)) == []
    spoil(notebook)
    found = lessons.problems(_write(tmp_path, notebook))
    assert any(words in problem for problem in found), found


def test_checker_rejects_a_missing_id_a_bad_name_and_a_broken_file(tmp_path: Path) -> None:
    notebook = lessons.clean(_sample())
    assert "name" in lessons.problems(_write(tmp_path, notebook, "Sample.ipynb"))[0]
    path = tmp_path / "03_no_ids.ipynb"
    del notebook.cells[0]["id"]
    notebook.nbformat_minor = 4
    for cell in notebook.cells[1:]:
        del cell["id"]
    path.write_text(lessons.dumps(notebook), encoding="utf-8")
    assert any("no id" in problem for problem in lessons.problems(path))
    path.write_text("{", encoding="utf-8")
    assert "not a valid notebook" in lessons.problems(path)[0]


def test_long_function_passes_where_the_cell_teaches_it(tmp_path: Path) -> None:
    notebook = lessons.clean(_sample())
    notebook.cells[2].update(source=_function(30).rstrip())
    notebook.cells[2].metadata["tags"] = [lessons.LONG_FUNCTION_TAG]
    assert lessons.problems(_write(tmp_path, notebook)) == []


def test_clean_keeps_only_the_text_of_checked_cells(tmp_path: Path) -> None:
    notebook = _sample()
    notebook.cells[1].outputs[:] = [
        new_output("stream", name="stdout", text="bias "),
        new_output("stream", name="stderr", text="careful"),
        new_output("stream", name="stdout", text="0.0058\n"),
        _figure(),
    ]
    notebook.cells[2].update(execution_count=2, outputs=[_figure()])
    notebook.metadata.update(widgets={"state": {}})
    path = _write(tmp_path, notebook)
    ids = [cell.id for cell in notebook.cells]
    assert lessons.main(["clean", str(path)]) == 0
    cleaned = nbformat.read(path, as_version=4)
    assert [cell.id for cell in cleaned.cells] == ids
    assert "".join(output.text for output in cleaned.cells[1].outputs) == "bias 0.0058\n"
    assert cleaned.cells[1].execution_count == 1
    assert cleaned.cells[2].outputs == []
    assert cleaned.cells[2].execution_count is None
    assert lessons.main(["check", str(path)]) == 0
    before = path.read_bytes()
    assert lessons.main(["clean", str(path)]) == 0
    assert path.read_bytes() == before


def test_run_writes_what_the_checker_accepts(tmp_path: Path) -> None:
    notebook = _sample()
    notebook.cells[1].update(source="# NBVAL_CHECK_OUTPUT\nprint('bias', 1 / 4)", outputs=[], execution_count=None)
    notebook.cells[2].update(source="import sys\nprint('loose')\nprint('warned', file=sys.stderr)")
    path = _write(tmp_path, notebook)
    assert lessons.main(["run", str(path)]) == 0
    assert lessons.problems(path) == []
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text == "bias 0.25\n"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_run_leaves_a_failing_notebook_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = _sample()
    notebook.cells[2].update(source="raise ValueError('broken on purpose')")
    path = _write(tmp_path, notebook)
    before = path.read_bytes()
    assert lessons.main(["run", str(path)]) == 1
    assert "broken on purpose" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_from_script_is_stable_and_keeps_ids(tmp_path: Path) -> None:
    pytest.importorskip("jupytext")
    script = tmp_path / "02_sample.py"
    script.write_text("# %% [markdown]\n# # A lesson\n\n# %%\nx = 1\n\n# %%\nx = 1\n", encoding="utf-8")
    command = ["from-script", str(script), "--folder", str(tmp_path)]
    assert lessons.main(command) == 0
    path = tmp_path / "02_sample.ipynb"
    first = path.read_bytes()
    assert lessons.problems(path) == []
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert len(set(ids)) == 3
    assert lessons.main(command) == 0
    assert path.read_bytes() == first
    script.write_text(script.read_text(encoding="utf-8") + "\n# %%\ny = 2\n", encoding="utf-8")
    assert lessons.main(command) == 0
    assert [cell.id for cell in nbformat.read(path, as_version=4).cells][:3] == ids
