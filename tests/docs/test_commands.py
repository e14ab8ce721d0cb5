"""docs/commands.md documents every command of the app, and every option."""

import argparse
import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
OURS = sorted(name for name, app in get_commands().items() if app == "connections")
SECTIONS = dict(re.findall(r"^## `(\w+)[^\n]*`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
EVERYWHERE = {
    option
    for action in BaseCommand().create_parser("manage.py", "any")._actions
    for option in action.option_strings
}


def test_every_command_has_a_section_and_every_section_a_command():
    assert sorted(SECTIONS) == OURS


@pytest.mark.parametrize("name", OURS)
def test_every_option_is_documented(name):
    parser = load_command_class("connections", name).create_parser("manage.py", name)
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        for option in set(action.option_strings) - EVERYWHERE:
            assert f"`{option}" in SECTIONS[name], option


@pytest.mark.parametrize("name", OURS)
def test_every_documented_option_exists(name):
    parser = load_command_class("connections", name).create_parser("manage.py", name)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"`(--?[a-z][a-z-]*)", SECTIONS[name])) <= known
