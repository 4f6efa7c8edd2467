"""From each statement one can go to code, test and lesson; a row that leads nowhere is seen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

import gmrl_lab as gl
from gmrl_lab.registry import Statement
from gmrl_lab.statements import NOTEBOOKS, STATEMENTS

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted({row.lesson for row in STATEMENTS})

PAPER = [f"Assumption 4.{i}" for i in (1, 2, 3)] + [f"Appendix {letter}" for letter in "ABCDEFGH"]
PAPER += ["Proposition 3.1", "Table 1", "Lemma 4.4", "Theorem 4.5", "Section 4.2", "Section 4.4", "Appendix I.1.2"]
PAPER += [f"Eq. {i}" for i in (2, 3, 4, 7, 8, 18, 21, 68)]
"""Every numbered statement of the paper that the lessons promise to teach."""

BEYOND = [
    *("expected-surrogates", "same-first-order", "hessian-parts", "ad-zero", "ad-noise", "ad-first-order-maml"),
    *("lola-ad-zero", "decomposition", "lemma-4.4-rms", "lemma-4.4-second-order", "debiased-bias", "horizon-part"),
    *("enumeration", "prop-3.1-field", "local-constants", "global-constants", "loaded-dice", "off-policy"),
]
"""Every sharper statement that the paper does not have."""


# --- where a row leads --------------------------------------------------------------------------------------------
def problems(row: Statement) -> list[str]:
    """What is missing on the way from a row to its code, its tests and its place in a lesson."""
    found = [problem for name in row.functions for problem in function_problems(name)]
    found += [problem for test in row.tests for problem in test_problems(test)]
    found += lesson_problems(row)
    found += [f"no {field}" for field in ("source", "claim", "functions", "tests") if not getattr(row, field)]
    found += ["a formula in the claim is not closed"] if row.claim.count("$") % 2 else []
    return found


def function_problems(name: str) -> Iterator[str]:
    thing = resolve(name)
    if thing is None or any(part.startswith("_") for part in name.split(".")):
        yield f"{name} is not public or does not exist"
    elif not re.search(r"Taught in lessons? [\d, and]+\.\s*$", thing.__doc__ or ""):
        yield f"the docstring of {name} does not end with its lesson"


def resolve(name: str) -> object | None:
    """What a dotted name stands for: the longest part that is a module, then attributes."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            thing = getattr(thing, part, None)
        return thing
    return None


def test_problems(test: str) -> Iterator[str]:
    file, _, name = test.partition("::")
    if name not in test_names(ROOT / file):
        yield f"{test} does not exist"


test_problems.__test__ = False  # type: ignore[attr-defined]


@cache
def test_names(path: Path) -> frozenset[str]:
    """Test functions of a file, those of a class as Class::name."""
    if not path.exists():
        return frozenset()
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.ClassDef):
            names += [f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)]
    return frozenset(name for name in names if name.rpartition("::")[2].startswith("test_"))


test_names.__test__ = False  # type: ignore[attr-defined]


def lesson_problems(row: Statement) -> Iterator[str]:
    path = lesson_path(row.lesson)
    if path is None:
        yield f"lesson {row.lesson} does not exist"
    elif row.anchor not in headings(path):
        yield f"{path.name} has no heading {row.anchor!r}; it has {', '.join(headings(path))}"
    if not re.fullmatch(r"[A-Za-z0-9 ,.:;!?'()=+/-]+", row.anchor):
        yield f"the heading {row.anchor!r} has characters that a link in JupyterLab does not find again"


def lesson_path(lesson: str) -> Path | None:
    return next(iter(sorted(NOTEBOOKS.glob(f"{lesson}_*.ipynb"))), None)


@cache
def headings(path: Path) -> tuple[str, ...]:
    """The headings of a notebook, in order and without their marks; those inside of fenced code do not count."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"^```.*?^```", "", cell.source, flags=re.MULTILINE | re.DOTALL)
            found += re.findall(r"^#{1,6} +(.*?)\s*$", text, flags=re.MULTILINE)
    return tuple(found)


@pytest.mark.parametrize("row", STATEMENTS, ids=lambda row: row.id)
def test_statement_leads_to_code_test_and_lesson(row: Statement) -> None:
    assert problems(row) == []


GOOD = gl.statements.find("policy-gradient")
WRONG = {
    "function": (replace(GOOD, functions=("gmrl_lab.exact.gradiant",)), "does not exist"),
    "module": (replace(GOOD, functions=("gmrl_lab.exakt.gradient",)), "does not exist"),
    "private function": (replace(GOOD, functions=("gmrl_lab.exact._visits",)), "not public"),
    "function without a lesson": (
        replace(GOOD, functions=("gmrl_lab.rollout.lookup",)),
        "does not end with its lesson",
    ),
    "no function": (replace(GOOD, functions=()), "no functions"),
    "test": (replace(GOOD, tests=("tests/test_exact.py::test_policy_gradient",)), "does not exist"),
    "test file": (replace(GOOD, tests=("tests/test_exakt.py::test_policy_gradient_theorem",)), "does not exist"),
    "helper as a test": (replace(GOOD, tests=("tests/helpers.py::derivatives",)), "does not exist"),
    "no test": (replace(GOOD, tests=()), "no tests"),
    "lesson": (replace(GOOD, lesson="99"), "lesson 99 does not exist"),
    "heading": (replace(GOOD, anchor="The exact gradient"), "has no heading"),
    "heading of another lesson": (replace(GOOD, lesson="02"), "has no heading"),
    "heading with mathematics": (replace(GOOD, anchor="Where $K>1$"), "JupyterLab"),
    "open formula": (replace(GOOD, claim="$K"), "not closed"),
    "no claim": (replace(GOOD, claim=""), "no claim"),
}


@pytest.mark.parametrize(("row", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_row_that_leads_nowhere_is_seen(row: Statement, words: str) -> None:
    assert problems(GOOD) == []
    assert any(words in problem for problem in problems(row))


# --- complete -----------------------------------------------------------------------------------------------------
def covered(rows: tuple[Statement, ...]) -> set[str]:
    """The numbers that the sources of rows name; "Eq. 18-21" and "Appendices E-H" name all between as well."""
    found = set()
    for row in rows:
        source = re.sub(r"\b(Appendices|Sections|Assumptions)\b", lambda word: SINGULAR[word[0]], row.source)
        found |= set(
            re.findall(
                r"(?:Section|Assumption|Lemma|Theorem|Proposition) \d\.\d|Table 1|Appendix [A-I](?:\.[\d.]*\d)?", source
            )
        )
        found |= {
            f"Appendix {chr(i)}"
            for a, b in re.findall(r"Appendix ([A-H])-([A-H])", source)
            for i in range(ord(a), ord(b) + 1)
        }
        for first, last in re.findall(r"Eq\. (\d+)(?:-(\d+))?", source):
            found |= {f"Eq. {i}" for i in range(int(first), int(last or first) + 1)}
    return found


SINGULAR = {"Appendices": "Appendix", "Sections": "Section", "Assumptions": "Assumption"}


@pytest.mark.parametrize("number", PAPER)
def test_every_numbered_statement_of_the_paper_has_a_row(number: str) -> None:
    assert number in covered(STATEMENTS)


def test_a_missing_number_is_seen() -> None:
    without = tuple(row for row in STATEMENTS if "Lemma 4.4" not in row.source)
    assert "Lemma 4.4" not in covered(without)
    assert {"Appendix E", "Appendix F", "Eq. 19"} <= covered(STATEMENTS)


@pytest.mark.parametrize("statement_id", BEYOND)
def test_every_sharper_statement_has_a_row(statement_id: str) -> None:
    assert gl.statements.find(statement_id)


def test_ids_differ_and_rows_stand_in_teaching_order() -> None:
    ids = [row.id for row in STATEMENTS]
    assert len(set(ids)) == len(ids)
    assert [row.lesson for row in STATEMENTS] == sorted(row.lesson for row in STATEMENTS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_rows_of_a_lesson_stand_in_its_own_file(lesson: str) -> None:
    assert tuple(gl.statements.of(lesson)) == import_module(f"gmrl_lab.registry.lesson_{lesson}").ROWS


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb"))[1:], ids=lambda path: path.stem)
def test_each_lesson_prints_its_statements(path: Path) -> None:
    """All but the tour, lesson 00, which states nothing."""
    lesson = path.name[:2]
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert any(re.match(rf'gl\.statements\.of\("{lesson}"\)', source) for source in sources[:3])
    assert gl.statements.of(lesson)


# --- what a reader sees ---------------------------------------------------------------------------------------------
def test_table_links_the_heading_and_names_function_and_test() -> None:
    table = gl.statements.of("01")._repr_markdown_()
    lines = table.splitlines()
    assert len(lines) == 2 + len(gl.statements.of("01"))
    assert {line.count("|") for line in lines} == {5}
    assert "[The exact gradient, by hand](<01_policy_gradients.ipynb#The-exact-gradient,-by-hand>)" in table
    assert "`gmrl_lab.exact.gradient` → `tests/test_exact.py::test_policy_gradient_theorem`" in table


def test_bars_in_a_claim_do_not_break_the_table() -> None:
    row = replace(GOOD, claim=r"$\pi(a|s)$")
    table = type(gl.statements.of("01"))((row,))._repr_markdown_()
    assert table.splitlines()[-1].count("|") == 5


def test_text_has_everything_too() -> None:
    text = repr(gl.statements.of("02"))
    for row in gl.statements.of("02"):
        assert all(part in text for part in (row.id, row.source, row.claim, row.anchor, *row.functions, *row.tests))


def test_unknown_lesson_and_id_list_what_exists() -> None:
    with pytest.raises(ValueError, match=r"lesson: got '99', allowed is one of \['01', '02'"):
        gl.statements.of("99")
    with pytest.raises(
        ValueError, match=r"statement_id: got 'lemma-9', allowed is one of policy-gradient, .*lemma-4\.4"
    ):
        gl.statements.find("lemma-9")
