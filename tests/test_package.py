"""The package: what it exports, what an import costs, and that the arrows point down."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dicomover
from house import House, find_circles, find_longest_chain

ROOT = Path(__file__).parent.parent

HOUSE = House()
SOURCE = Path(dicomover.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(SOURCE)], "dicomover.")
    if not module.name.rpartition(".")[2].startswith("_")
)
LONGEST = 400
MODULES_IN_THE_ROOT = 14
LONGEST_CHAIN = 16


def read(name: str) -> str:
    """Return a file of the checkout."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_exported_names() -> None:
    """The exported names are a sorted list, and each can be had."""
    assert dicomover.__all__ == sorted(dicomover.__all__)
    for name in dicomover.__all__:
        assert getattr(dicomover, name).__name__ == name
    assert dir(dicomover) == sorted([*dicomover.__all__, "__version__"])  # what Tab offers, without the modules below
    with pytest.raises(AttributeError, match="Moover"):
        _ = dicomover.Moover


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_exports(name: str) -> None:
    """Every public module has a docstring and a sorted `__all__` whose names exist."""
    module = importlib.import_module(name)
    assert module.__doc__
    assert hasattr(module, "__all__"), "it has no __all__"
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        assert hasattr(module, exported)


def imported_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has after running some code."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import dicomover", {"pandas", "numpy", "pydicom", "pynetdicom", "IPython", "ipywidgets", "tqdm", "click"}),
        ("import dicomover.mover", {"IPython", "ipywidgets", "matplotlib", "openpyxl", "click"}),
        ("from dicomover import Node, Status, RequestError", {"pandas", "numpy", "pydicom", "pynetdicom"}),
        ("import dicomover.receiver.engine.child", {"pandas", "IPython", "ipywidgets"}),
        ("from dicomover import Mover, Place; Mover('A@b:1', receive='x'), Place('B', 1)", {"distributed", "dask"}),
    ],
)
def test_what_an_import_costs(code: str, absent: set[str]) -> None:
    """Importing the package is light, and the views' libraries come only with the views."""
    assert not imported_by(code) & absent


def test_the_process_that_receives_loads_nothing_that_asks() -> None:
    """It is started for each Mover that receives: what requests an association comes with the first C-GET."""
    code = "import dicomover.receiver.engine.child, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    asking = {"dicomover.wire.association", "dicomover.receiver.receiver", "dicomover.receiver.engine.retrievals"}
    assert not asking & set(done.stdout.split())


def test_typed_and_versioned() -> None:
    """The types are for everybody, and the version is that of the installed package."""
    assert (SOURCE / "py.typed").is_file()
    assert dicomover.__version__ == importlib.metadata.version("dicomover")


def test_the_papers_name_the_version() -> None:
    """The changelog begins with this version, and the citation names it, with the title and licence of the package."""
    cited = pytest.importorskip("yaml").safe_load(read("CITATION.cff"))
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert cited["version"] == project["version"] == dicomover.__version__
    assert cited["license"] == project["license"]
    assert [author["name"] for author in cited["authors"]] == [author["name"] for author in project["authors"]]
    versions = re.findall(r"^## \[(.+?)\] - (\d{4}-\d\d-\d\d|Unreleased)$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0][0] == dicomover.__version__


def test_it_logs_to_itself_and_prints_nothing() -> None:
    """The library has a logger of its own with a NullHandler, and configures nobody else's."""
    code = "import logging, dicomover\nroot = logging.getLogger()\nassert not root.handlers\n"
    code += "(handler,) = logging.getLogger('dicomover').handlers\nassert type(handler) is logging.NullHandler"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == done.stderr == ""


def test_arrows_point_down() -> None:
    """The import contracts of pyproject.toml hold."""
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists() or not (ROOT / "pyproject.toml").exists():
        pytest.skip("import-linter is not installed, or this is not a checkout")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Contracts: [2-9]\d* kept, 0 broken", done.stdout)


def test_the_contract_lets_the_front_door_pass_alone() -> None:
    """Nothing but the front door is excepted from the layers, and every room stands on one floor."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract for contract in contracts if contract["type"] == "layers"]
    assert layers["ignore_imports"] == ["dicomover -> dicomover.**"]
    assert sorted(room for floor in HOUSE.floors for room in floor) == sorted(HOUSE.rooms)


def test_the_house_is_small_enough_to_know() -> None:
    """The root holds few modules, no way through the imports is long, and none leads back."""
    assert len([path for path in SOURCE.glob("*.py") if path.name != "__init__.py"]) <= MODULES_IN_THE_ROOT
    chain = find_longest_chain(HOUSE.imports)
    assert len(chain) - 1 <= LONGEST_CHAIN, " > ".join(chain)
    assert not find_circles(HOUSE.imports)
    assert not find_circles(HOUSE.rooms)
    assert not HOUSE.upwards


def test_every_module_has_the_test_file_of_its_name() -> None:
    """The tests mirror the packages: `wire/lines.py` is tested by `tests/wire/test_lines.py`."""
    modules = [
        path.relative_to(HOUSE.source) for path in HOUSE.paths.values() if path.stem not in ("__init__", "__main__")
    ]
    missing = [m for m in modules if not (ROOT / "tests" / m.with_name(f"test_{m.stem.strip('_')}.py")).exists()]
    assert not missing, f"without a test file of their name: {', '.join(map(str, missing))}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_module_is_too_long(path: Path) -> None:
    """A module has at most 400 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_the_command_is_installed() -> None:
    """The command line comes with the package."""
    assert shutil.which("dicomover", path=str(Path(sys.executable).parent)) is not None
