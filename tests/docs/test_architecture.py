"""docs/architecture.md describes the tree as it is."""

import ast
import re
import tomllib

import pytest

from project.settings import BASE_DIR

APP = BASE_DIR / "connections"
PAGE = (BASE_DIR / "docs" / "architecture.md").read_text()
# `path`, and the names that stand behind it: `console/site.py` `LatchkeyAdminSite.index()`
REFERENCES = re.findall(r"`([\w./]+\.\w+)`(?: `([\w.]+)(?:\(\))?`)?", PAGE)
FOLDERS = re.findall(r"`([\w/]+/)`", PAGE)


def locate(path):
    """The file or folder that the page means: under connections/, or from the top."""
    return next((root / path for root in (APP, BASE_DIR) if (root / path).exists()), None)


def defined_names(path):
    """Functions, classes and constants of a module, and methods both alone and as Class.method."""
    for node in ast.parse(path.read_text()).body:
        yield from _names_of(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                for name in _names_of(member):
                    yield from (name, f"{node.name}.{name}")


def _names_of(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_every_package_is_named():
    packages = {str(init.parent.relative_to(APP)) for init in APP.rglob("*/__init__.py")}
    assert packages <= set(re.findall(r"`([\w/]+)`", PAGE))


@pytest.mark.parametrize(("path", "name"), sorted(set(REFERENCES)))
def test_every_file_and_every_name_in_it_exists(path, name):
    file = locate(path)
    assert file
    if name:
        assert name in defined_names(file)


def test_every_function_exists():
    known = {name for path in APP.rglob("*.py") for name in defined_names(path)}
    assert set(re.findall(r"`([\w.]+)\(\)`", PAGE)) <= known


@pytest.mark.parametrize("path", sorted(set(FOLDERS)))
def test_every_folder_exists(path):
    assert locate(path)


def test_the_map_of_the_layers_is_the_contract():
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    tools = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["tool"]
    (contract,) = [each for each in tools["importlinter"]["contracts"] if each["id"] == "layers"]
    assert re.findall(r'\["(.*?)"\]', drawn) == contract["layers"]
