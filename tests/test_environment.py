"""environment.yml against pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CONDA = [item for item in ENVIRONMENT["dependencies"] if isinstance(item, str)]


def test_environment_holds_the_dependencies_of_the_project() -> None:
    """Every dependency of the package stands in environment.yml with the same lower bound."""
    everywhere = {item for item in PROJECT["dependencies"] if ";" not in item}
    assert everywhere <= set(CONDA)


def test_environment_asks_for_the_same_python() -> None:
    """The oldest Python is the same in both files."""
    assert f"python{PROJECT['requires-python']}" in CONDA


def test_environment_brings_dcmtk_and_the_package() -> None:
    """It comes from conda-forge alone, brings DCMTK, and installs this folder with pip."""
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert "dcmtk" in CONDA
    assert {"pip": ["."]} in ENVIRONMENT["dependencies"]


def test_no_dependency_has_an_upper_bound() -> None:
    """A library sets lower bounds only."""
    extras = [item for extra in PROJECT["optional-dependencies"].values() for item in extra]
    for requirement in [*PROJECT["dependencies"], *extras, *CONDA]:
        assert not re.search(r"[<~=]=|<|~", requirement.split(";")[0].replace(">=", "")), requirement


def test_every_python_that_is_named_is_tried() -> None:
    """The classifiers name the Pythons that the tests run on, beginning with the oldest that works."""
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert f">={named[0]}" == PROJECT["requires-python"]
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if not workflow.exists():
        pytest.skip("a source distribution has no workflow")
    assert yaml.safe_load(workflow.read_text())["jobs"]["run"]["strategy"]["matrix"]["python-version"] == named
