"""The tree of errors, as its docstring draws it, and what each says of a retry."""

from __future__ import annotations

import inspect
import linecache
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dicomover import Cohort, Mover, errors, read_requests
from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ContextRejected,
    DicomoverError,
    LostBy,
    NodeError,
    NodeUnreachable,
    Problem,
    ProtocolError,
    QueryRefused,
    RequestError,
    list_problems,
)


def test_the_drawn_tree_is_the_tree() -> None:
    """The tree in the docstring has exactly the error classes, each below its base."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in re.findall(
        r"^    (.*\w+(?:Error|Rejected|Unreachable|Lost|Refused)\b.*)$", errors.__doc__ or "", re.MULTILINE
    ):
        match = re.match(r"([│├└─ ]*)(\w+)(.*)", line)
        assert match is not None
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        drawn[match[2]] = above[depth - 1] if depth else "Exception"
        cls = getattr(errors, match[2])
        assert issubclass(cls, ValueError) == ("ValueError" in match[3])
        assert issubclass(cls, FileNotFoundError) == ("FileNotFoundError" in match[3])
    classes = {
        name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, DicomoverError)
    }
    assert drawn == {name: cls.__bases__[0].__name__ for name, cls in classes.items()}
    assert set(classes) <= set(errors.__all__)
    assert all(cls.__doc__ for cls in classes.values())


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (NodeError("x"), False),
        (NodeUnreachable("x"), True),
        (AssociationRejected("x", 1, 1, 3), False),
        (AssociationRejected("x", 1, 1, 7), False),
        (AssociationRejected("x", 2, 3, 1), True),
        (AssociationRejected("x", 2, 3, 2), True),
        (ContextRejected("x"), False),
        (AssociationLost("x", LostBy.CLOSED), True),
        (ProtocolError("x"), False),
        (QueryRefused("x"), False),
        (QueryRefused("x", 0xA700), True),
        (QueryRefused("x", 0xA702), True),
        (QueryRefused("x", 0xA900), False),
        (QueryRefused("x", 0xC000), False),
    ],
)
def test_retriable(error: NodeError, retriable: bool) -> None:
    """Each error between us and the peer says whether to try again."""
    assert error.retriable is retriable
    assert str(error) == "x"


def test_an_error_keeps_what_was_found_and_the_mend_apart() -> None:
    """Both are fields, and the sentence is the two of them."""
    error = NodeUnreachable("no TCP connection; refused", "check the port", 111)
    assert (error.what, error.mend, error.code) == ("no TCP connection; refused", "check the port", 111)
    assert str(error) == "no TCP connection; refused; check the port"
    rejected = AssociationRejected("rejected", 1, 1, 3, mend="ask to be added")
    assert str(rejected) == f"{rejected.what}; {rejected.mend}" == "rejected; ask to be added"
    assert str(QueryRefused("refused", 0xA700)) == "refused"


def test_a_problem_says_where_what_why_and_how() -> None:
    """A problem names row, column, the value's shape, why and mend; labels and values are shown where asked for."""
    problem = Problem("a", "AccessionNumber", " 1", "begins with a space", "take it away", 3)
    assert str(problem) == "row 3, AccessionNumber: ' 9' begins with a space; take it away"
    assert problem.tell(show_keys=True) == "row 'a', AccessionNumber: ' 1' begins with a space; take it away"
    public = Problem("", "column", "accession", "is nearly a key", "rename it", private=False)
    assert str(public) == "column: 'accession' is nearly a key; rename it"
    assert str(replace(problem, row=7)).startswith("row 7, ")
    assert str(replace(problem, row=4711, shows_label=False)).startswith("row 3, ")
    assert str(Problem("cohort.csv", "line 3", None, "is bad", "mend it")) == "cohort.csv, line 3: is bad; mend it"
    placed = Problem(12, "AccessionNumber", " 1", "is bad", "mend it", 12, place="line 14 of cohort.csv")
    assert str(placed) == "row 12 (line 14 of cohort.csv), AccessionNumber: ' 9' is bad; mend it"
    placed = replace(placed, place="row 14 of cohort.xlsx")
    assert str(placed) == "row 12 (row 14 of cohort.xlsx), AccessionNumber: ' 9' is bad; mend it"


def test_problems_that_are_alike_are_one_line() -> None:
    """Problems that differ in rows, values and numbers only are told once; what is nobody's value is told apart."""
    place = "line {} of cohort.csv"
    alike = [
        Problem(n, "StudyID", "x" * (17 + n), f"has {17 + n} characters", "check it", n, place=place.format(n + 2))
        for n in range(50)
    ]
    types = [
        Problem(n, "", kind, "is no request", "give dicts", n, private=False) for n, kind in enumerate(("int", "str"))
    ]
    assert list_problems([*alike, *types]) == [
        (
            "rows 0 to 49 (lines 2 to 51 of cohort.csv), StudyID: 'aaaaaaaaaaaaaaaaa' (and the like) has 17 to 66 "
            "characters; check it",
            50,
        ),
        ("row 0: 'int' is no request; give dicts", 1),
        ("row 1: 'str' is no request; give dicts", 1),
    ]
    told = str(RequestError(alike)).splitlines()
    assert len(told) == 3
    assert told[-1] == "  (9 is any digit, A any letter: show_keys=True shows what stands there)"
    scattered = [Problem(f"patient {n}", "PatientID", " 1", "is bad", "mend it", n) for n in range(0, 40, 2)]
    assert list_problems(scattered)[0][0].startswith("rows 0, 2, 4, 6, 8 and 15 more, PatientID: ' 9' is bad")
    shown = str(RequestError(scattered, show_keys=True))
    assert "rows 'patient 0', 'patient 2'" in shown
    assert "' 1' is bad" in shown


@pytest.mark.parametrize(
    ("positions", "head"), [([0], "1 request "), ([0, 0, 4], "2 requests "), ([-1], "the requests ")]
)
def test_a_request_error_counts_rows(positions: list[int], head: str) -> None:
    """The first line says how many requests are bad and that nothing was moved."""
    error = RequestError([Problem("r", "c", None, "is bad", "mend it", position) for position in positions])
    assert str(error).startswith(head)
    assert "nothing was moved" in str(error).splitlines()[0]
    assert len(error.problems) == len(positions)


@pytest.mark.parametrize(
    "error",
    [
        NodeUnreachable("x", "y", 111),
        AssociationRejected("x", 2, 3, 1, mend="y"),
        AssociationLost("x", LostBy.ABORT),
        QueryRefused("x", 0xA700, mend="y"),
        RequestError([Problem("a", "b", "c", "d", "e", 1)]),
        RequestError([Problem("a", "b", "c", "d", "e", 1)], show_keys=True),
        errors.NoSuchFileError("x.csv"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled(error: Exception) -> None:
    """An error reaches the parent of a process pool as what it is."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_long_message_is_broken_between_words() -> None:
    """A notebook breaks what is wider than a cell within a word, so that ours are no wider."""
    rows = [Problem(n, "AccessionNumber", 4711, f"is not text {'but int ' * n}", "give the text") for n in (1, 9, 20)]
    said = errors.RequestError(rows)
    shown = said._render_traceback_()[-1]
    assert shown.split() == f"RequestError: {said}".split()
    assert max(map(len, shown.split("\n"))) <= 80
    assert all(line.startswith("  ") for line in shown.split("\n")[1:])


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("mover.move([{'AccessionNumbr': '1'}])", errors.RequestError),
        ("mover.move({}, associations=0)", errors.ConfigurationError),
        ("mover.echo()", errors.NodeUnreachable),
        ("mover.find({'PatientID': '*'})", errors.NodeUnreachable),
        ("mover.move({'AccessionNumber': '1'})", errors.NodeUnreachable),
        ("mover.start({'AccessionNumber': '1'})", errors.NodeUnreachable),
        ("Mover(f'DEMO@{70 * chr(97)}:104').echo()", errors.NodeUnreachable),
        ("Cohort.load(broken)", errors.CohortError),
        ("Cohort.load('nope.json')", errors.NoSuchFileError),
        ("read_requests('nope.csv')", errors.NoSuchFileError),
        (
            "Mover(mover.node, receive='x', port=0, journal=broken).plan({'AccessionNumber': '1'})",
            errors.ConfigurationError,
        ),
        ("Mover(mover.node, receive=broken, port=0).open()", errors.ReceiverError),
        ("Mover(mover.node, receive=broken, port=0).move({'AccessionNumber': '1'})", errors.ReceiverError),
    ],
)
def test_a_notebook_shows_the_callers_line_and_the_message(call: str, kind: type[Exception], tmp_path: Path) -> None:
    """IPython is told the line in the cell and what is wrong, not the thirty frames between them."""
    cell, name = f"x = 1\n{call}\n", "/tmp/ipykernel_1/2.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    broken = tmp_path / "broken"
    broken.write_text("neither a lockfile, nor a journal, nor a folder")
    mover = Mover("DEMO@127.0.0.1:1", destination="X", progress="none")
    given = {"mover": mover, "broken": broken, "Mover": Mover, "Cohort": Cohort, "read_requests": read_requests}
    with pytest.raises(kind) as caught:
        exec(compile(cell, name, "exec"), given)
    shown = caught.value._render_traceback_()  # type: ignore[attr-defined]
    at = shown.index("In the cell, line 2:")
    assert shown[at : at + 3] == ["In the cell, line 2:", f"    {call}", ""]
    (said,) = shown[at + 3 :]
    assert " ".join(said.split()) == " ".join(f"{type(caught.value).__name__}: {caught.value}".split())
    assert not any("dicomover/" in line for line in shown[:-1])


@pytest.mark.parametrize("value", ["mon-fri " * 20_000, "z" * 160_000])
@pytest.mark.parametrize("quoted", [True, False])
def test_what_is_said_of_a_long_value_is_not_lost_behind_it(value: str, quoted: bool) -> None:
    """The middle of the value is left out, wherever it stands in the sentence; what people write is left as it is."""
    shown = repr(value) if quoted else value.replace(" ", "")
    error = errors.ConfigurationError(f"[nodes.x] window {shown} is none", "write 19:00-07:00")
    assert str(error).startswith("[nodes.x] window ")
    assert len(str(error)) < 1000
    assert str(error).endswith("; write 19:00-07:00")
    plain = "row 1: it's 'so', and " * 60
    assert str(errors.ConfigurationError(plain, "x")) == f"{plain}; x"
