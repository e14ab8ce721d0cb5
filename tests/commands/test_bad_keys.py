"""Bad keys stop every way to start, with one sentence that holds no key."""

import base64
import hashlib
import re
import uuid

import pytest
from django.core.management import CommandError, call_command, load_command_class

from connections.encryption import keyring
from tests.docs.test_commands import OURS
from tests.support.installation import Installation
from tests.support.stores import write

GOOD, OTHER = keyring.generate_key(), keyring.generate_key()
SECRET_KEY = "synth-secret-key-" + "x1y2z3" * 8
HASHED = base64.urlsafe_b64encode(hashlib.sha256(SECRET_KEY.encode()).digest()).decode()
SPELT = GOOD.translate(str.maketrans("-_", "+/")).rstrip("=")
TYPED = base64.urlsafe_b64encode(b"correct horse battery staple 123").decode()

# What differs from good settings (None: not there), which setting is named, and what is said.
# `{folder}` holds a `key` that is good, one that is `empty` and one that is `binary`.
BAD = {
    "unset": ({"FERNET_KEYS": None}, "FERNET_KEYS", "is not set"),
    "empty": ({"FERNET_KEYS": ""}, "FERNET_KEYS", "is not set"),
    "only blanks": ({"FERNET_KEYS": "  \t "}, "FERNET_KEYS", "is not set"),
    "only a comma": ({"FERNET_KEYS": ","}, "FERNET_KEYS", "Key 1"),
    "a blank between commas": ({"FERNET_KEYS": f"{GOOD}, ,{OTHER}"}, "FERNET_KEYS", "Key 2"),
    "the name of a variable": ({"FERNET_KEYS": "$OTHER_KEYS"}, "FERNET_KEYS", "is not a key"),
    "too short": ({"FERNET_KEYS": GOOD[:22]}, "FERNET_KEYS", "is not a key"),
    "too long": ({"FERNET_KEYS": GOOD + OTHER}, "FERNET_KEYS", "is not a key"),
    "not base64": ({"FERNET_KEYS": "synth: not base64! é"}, "FERNET_KEYS", "is not a key"),
    "a typed passphrase": ({"FERNET_KEYS": f"{GOOD},{TYPED}"}, "FERNET_KEYS", "Key 2"),
    "SECRET_KEY": ({"SECRET_KEY": GOOD}, "FERNET_KEYS", "equals SECRET_KEY"),
    "SECRET_KEY, spelt otherwise": ({"SECRET_KEY": SPELT}, "FERNET_KEYS", "equals SECRET_KEY"),
    "SECRET_KEY, hashed": ({"FERNET_KEYS": f"{HASHED},{GOOD}"}, "FERNET_KEYS", "made of it"),
    "named twice": ({"FERNET_KEYS": f"{GOOD},{OTHER},{GOOD}"}, "FERNET_KEYS", "twice"),
    "not the one that sealed": ({"FERNET_KEYS": OTHER}, "FERNET_KEYS", "None of the keys"),
    "no SECRET_KEY": ({"SECRET_KEY": None}, "SECRET_KEY", "is not set"),
    "a blank SECRET_KEY": ({"SECRET_KEY": "   "}, "SECRET_KEY", "is not set"),
    "no such file": (
        {"FERNET_KEYS": None, "FERNET_KEYS_FILE": "{folder}/nothing"},
        "FERNET_KEYS_FILE",
        "No such file",
    ),
    "a folder for a file": (
        {"FERNET_KEYS": None, "FERNET_KEYS_FILE": "{folder}"},
        "FERNET_KEYS_FILE",
        "Is a directory",
    ),
    "an empty file": (
        {"FERNET_KEYS": None, "FERNET_KEYS_FILE": "{folder}/empty"},
        "FERNET_KEYS",
        "is not set",
    ),
    "a file that is no text": (
        {"FERNET_KEYS": None, "FERNET_KEYS_FILE": "{folder}/binary"},
        "FERNET_KEYS_FILE",
        "no text",
    ),
    "a key and a file": ({"FERNET_KEYS_FILE": "{folder}/key"}, "FERNET_KEYS_FILE", "both set"),
}
GUNICORN = ("-m", "gunicorn", "--config", "project/gunicorn.py", "--bind", "127.0.0.1:0")
SERVERS = {
    "gunicorn": GUNICORN,
    "celery worker": ("-m", "celery", "-A", "project", "worker"),
    "runserver": ("manage.py", "runserver", "0"),
    "celery beat": ("-m", "celery", "-A", "project", "beat"),
    "make run": ("-m", "project.bootstrap"),
}
COMMANDS = {
    name: ("manage.py", *name.split())
    for name in (
        "check_expiry",
        "import_connections -",
        "export_connections -o -",
        "rotate_keys",
        "verify_records",
        "migrate",
    )
} | {"shell": ("manage.py", "shell", "-c", "")}

# What commands take at the least.
NEEDED = {
    "import_connections": ["-"],
    "change_connections": ["--run", str(uuid.UUID(int=0))],
    "reset_mfa": ["ada"],
}

# A process takes the better part of a second. So each of the settings meets one server and one
# command, in turn: each way to start meets three settings or more.
PAIRS = [
    (setting, list(ways)[number % len(ways)])
    for number, setting in enumerate(BAD)
    for ways in (SERVERS, COMMANDS)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, stores):
    """A copy of the project without settings, and the settings of a store in use."""
    folder = tmp_path_factory.mktemp("bad-keys")
    store = stores.make()
    store.keys = f"{store.keys},{GOOD}"
    entry = {"id": "conn-1", "integration_type": "hubspot", "auth": {"token": "synth-1"}}
    assert store.imports(write(folder / "in.json", [entry])).code == 0
    store.keys = f"{GOOD},{store.keys.split(',')[0]}"
    assert store.run("rotate_keys").code == 0
    (folder / "key").write_text(GOOD)
    (folder / "empty").write_text(" \n")
    (folder / "binary").write_bytes(b"\xff\xfe" + GOOD.encode())
    place = Installation(folder / "copy")
    (place.path / ".env").write_text("# so that `make run` writes none\n")
    place.folder = folder
    place.good = {
        "SECRET_KEY": SECRET_KEY,
        "FERNET_KEYS": GOOD,
        "DATABASE_URL": store.url,
        "HTTPS": "off",
    }
    return place


@pytest.mark.parametrize(("setting", "way"), PAIRS)
def test_it_does_not_start(place, setting, way):
    changes, name, said = BAD[setting]
    changes = {n: value and value.format(folder=place.folder) for n, value in changes.items()}
    settings = {n: v for n, v in {**place.good, **changes}.items() if v is not None}
    ended = place.run(*{**SERVERS, **COMMANDS}[way], **settings)
    # check_expiry's 2 says that something is broken.
    assert ended.returncode == (3 if way == "check_expiry" else 2), ended.stderr
    assert ended.stdout == ""
    assert re.fullmatch(r"[^\n]+[^.\n]\.\n", ended.stderr) and ". " not in ended.stderr
    assert name in ended.stderr and said in ended.stderr
    assert not shown(settings, ended.stderr)


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in OURS if name != "generate_key"])
def test_no_command_begins_without_good_keys(settings, name):
    settings.FERNET_KEYS = ["", GOOD]
    command = load_command_class("connections", name)
    with pytest.raises(CommandError, match="Key 1 in FERNET_KEYS is empty") as refused:
        call_command(command, *NEEDED.get(name, ()))
    assert refused.value.returncode == (3 if name == "check_expiry" else 2)


def shown(settings, text):
    """The values of keys, or halves of them, that stand in a text."""
    keys = ",".join([settings.get("SECRET_KEY", ""), settings.get("FERNET_KEYS", ""), GOOD])
    halves = {part for key in keys.split(",") for part in (key[:12], key[-12:])}
    return {half for half in halves if half.strip() and half in text}


def test_every_way_to_start_meets_several_settings():
    for ways, least in ((SERVERS, 4), (COMMANDS, 3)):
        for way in ways:
            assert len([met for _, met in PAIRS if met == way]) >= least


def test_swapped_keys_work_with_a_warning(place):
    swapped = {**place.good, "FERNET_KEYS": f"{OTHER},{GOOD}"}
    sentence = "Most connections are sealed under key 2 in FERNET_KEYS"
    checked = place.run("manage.py", "check", **swapped)
    assert checked.returncode == 0 and sentence in checked.stderr
    server = place.start(*GUNICORN, **swapped)
    try:
        assert "Serving on" in server.stdout.readline()
    finally:
        server.terminate()
        _, err = server.communicate(timeout=30)
    assert (server.returncode, err.count(sentence)) == (0, 1)
    assert "Traceback" not in err and not shown(swapped, checked.stderr + err)


def test_good_keys_start_without_a_message(place):
    checked = place.run("manage.py", "check", **place.good)
    assert (checked.returncode, checked.stderr) == (0, "")
