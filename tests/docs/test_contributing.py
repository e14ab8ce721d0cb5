"""CONTRIBUTING.md and the pre-commit hooks agree with the Makefile and the code."""

import re

import pytest
import yaml
from django.utils.module_loading import import_string

from project.settings import BASE_DIR

MAKEFILE = (BASE_DIR / "Makefile").read_text()
PAGE = (BASE_DIR / "CONTRIBUTING.md").read_text()


def test_pre_commit_runs_what_make_lint_runs():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    commands = [
        line.removeprefix("\t@").replace("$(bin)", ".venv/bin") for line in recipe.splitlines()
    ]
    config = yaml.safe_load((BASE_DIR / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == commands
    assert not any(hook["pass_filenames"] for hook in hooks)


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", PAGE)) <= targets


PRIVATE_NAMES = re.findall(r"^\| `([\w.]+)` \| `([\w/.]+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "file"), PRIVATE_NAMES)
def test_every_private_name_exists_and_is_used(name, file):
    owner, _, attribute = name.rpartition(".")
    try:
        import_string(name)
    except ImportError:  # of a class, not of a module
        assert hasattr(import_string(owner), attribute)
    assert re.search(rf"\b{attribute}\b", (BASE_DIR / file).read_text())


def test_every_import_from_an_internal_module_is_listed():
    files = [*BASE_DIR.glob("connections/**/*.py"), *BASE_DIR.glob("project/*.py")]
    imported = {
        f"{module}.{name}"
        for path in files
        for module, name in re.findall(
            r"^from ([\w.]+\.internal[\w.]*) import (\w+)", path.read_text(), re.M
        )
    }
    assert imported <= {name for name, _ in PRIVATE_NAMES}


def test_readme_lists_every_package_that_is_required():
    required = re.findall(
        r"^([\w-]+(?:\[\w+\])?)==", (BASE_DIR / "requirements.txt").read_text(), re.M
    )
    table = (BASE_DIR / "README.md").read_text().split("| package | for |")[1].split("\n\n")[0]
    listed = re.findall(r"[\w-]+(?:\[\w+\])?", ",".join(re.findall(r"^\| (.*?) \|", table, re.M)))
    assert {name.removesuffix("[binary]") for name in required} == set(listed) - {"---"}
