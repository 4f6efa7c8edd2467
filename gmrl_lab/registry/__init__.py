"""What the lessons state: one row for each statement, in `lesson_NN.py` of the lesson that teaches it.

A row leads from the paper's number to the functions that compute the statement, to the tests that hold it, and to the
heading under which a lesson shows it. `gmrl_lab.statements` collects and shows the rows; `tests/test_statements.py`
fails when a row leads nowhere.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """One statement, and where to find it.

    Args:
        id: unique, for `gl.statements.find`: "lemma-4.4".
        source: its number in the paper, "Lemma 4.4", or "beyond the paper".
        claim: one or two sentences, Markdown with $…$.
        functions: dotted names of what computes it, "gmrl_lab.exact.gradient".
        tests: what holds it, "tests/test_exact.py::test_name", the name without parameters.
        lesson: "04".
        anchor: the heading in that lesson's notebook under which it is taught, word for word, without the #s.

    Taught in lesson 01.
    """

    id: str
    source: str
    claim: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]
    lesson: str
    anchor: str
