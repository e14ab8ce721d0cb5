"""Sources of settings, their effects, and that each is documented."""

import json
import re

import pytest
from django.conf import settings
from django.core.management.utils import get_random_secret_key

from connections.checks import check_proxies
from connections.encryption import keyring
from project.middleware import is_trusted_proxy
from project.settings import BASE_DIR, ENV_SETTINGS
from tests.support.installation import Installation

EXAMPLES = {
    "SECRET_KEY": '$ecret, "and odd" = so',
    "FERNET_KEYS": "one,two",
    "DATABASE_URL": "sqlite:////tmp/elsewhere.sqlite3",
    "DEBUG": "on",
    "ALLOWED_HOSTS": "a.example, b.example",
    "CSRF_TRUSTED_ORIGINS": "https://a.example,https://b.example",
    "HTTPS": "off",
    "TRUSTED_PROXIES": "10.0.0.1,10.1.0.0/16",
    "REQUIRE_MFA": "on",
    "TIME_ZONE": "Europe/Amsterdam",
    "EMAIL_URL": "smtp://mail.example:2525",
    "CACHE_URL": "redis://cache.example:6379/1",
    "CELERY_BROKER_URL": "redis://queue.example:6379/0",
}
EXPECTED = {
    "SECRET_KEY": '$ecret, "and odd" = so',
    "FERNET_KEYS": ["one", "two"],
    "DATABASE_NAME": "/tmp/elsewhere.sqlite3",
    "DEBUG": True,
    "ALLOWED_HOSTS": ["a.example", "b.example"],
    "CSRF_TRUSTED_ORIGINS": ["https://a.example", "https://b.example"],
    "HTTPS": False,
    "TRUSTED_PROXIES": ["10.0.0.1", "10.1.0.0/16"],
    "REQUIRE_MFA": True,
    "TIME_ZONE": "Europe/Amsterdam",
    "EMAIL_HOST": "mail.example",
    "CACHE_LOCATION": "redis://cache.example:6379/1",
    "CELERY_BROKER_URL": "redis://queue.example:6379/0",
}
PRINT = f"""
import json
from project import settings
values = {{name: getattr(settings, name, None) for name in {list(EXPECTED)}}}
values["CACHE_LOCATION"] = settings.CACHES["default"]["LOCATION"]
values["DATABASE_NAME"] = str(settings.DATABASES["default"].get("NAME"))
print(json.dumps(values))
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("settings") / "copy")


@pytest.fixture
def dotenv(installation):
    path = installation.path / ".env"
    yield path
    path.unlink(missing_ok=True)


def read(installation, **environment):
    process = installation.run("-c", PRINT, **environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def in_files(directory, values):
    for name, value in values.items():
        (directory / name).write_text(value + "\n")
    return {f"{name}_FILE": str(directory / name) for name in values}


def test_the_examples_cover_every_setting():
    assert set(EXAMPLES) == set(ENV_SETTINGS)


def test_the_tests_set_every_setting_themselves():
    source = (BASE_DIR / "tests/settings.py").read_text()
    assert set(re.findall(r'^    "([A-Z_]+)":', source, re.M)) >= set(ENV_SETTINGS)


def test_settings_come_from_the_environment(installation):
    assert read(installation, **EXAMPLES) == EXPECTED


def test_each_setting_can_come_from_a_file(installation, tmp_path):
    assert read(installation, **in_files(tmp_path, EXAMPLES)) == EXPECTED


def test_settings_come_from_dotenv(installation, dotenv):
    dotenv.write_text("".join(f"{name}='{value}'\n" for name, value in EXAMPLES.items()))
    assert read(installation) == EXPECTED


def test_dotenv_may_name_files(installation, dotenv, tmp_path):
    named = in_files(tmp_path, EXAMPLES)
    dotenv.write_text("".join(f"{name}={value}\n" for name, value in named.items()))
    assert read(installation) == EXPECTED


@pytest.mark.parametrize("in_environment", ["TIME_ZONE", "TIME_ZONE_FILE"])
@pytest.mark.parametrize("in_dotenv", ["TIME_ZONE", "TIME_ZONE_FILE"])
def test_the_environment_wins(installation, dotenv, tmp_path, in_environment, in_dotenv):
    def spelled(name, value):
        path = tmp_path / value.replace("/", "-")
        path.write_text(value)
        return {name: str(path) if name.endswith("_FILE") else value}

    for name, value in spelled(in_dotenv, "Europe/Paris").items():
        dotenv.write_text(f"{name}={value}\n")
    environment = spelled(in_environment, "Europe/Rome")
    assert read(installation, **environment)["TIME_ZONE"] == "Europe/Rome"


def test_a_setting_and_its_file_in_dotenv_are_refused(installation, dotenv, tmp_path):
    (tmp_path / "zone").write_text("Europe/Rome")
    dotenv.write_text(f"TIME_ZONE=Europe/Paris\nTIME_ZONE_FILE={tmp_path / 'zone'}\n")
    refused = installation.run("manage.py", "check")
    assert refused.returncode == 2
    assert refused.stderr == "TIME_ZONE and TIME_ZONE_FILE are both set: leave one in.\n"


@pytest.mark.parametrize("keys", ["", ",", " , ", "$FERNET_KEYS", "$OTHER", "x", "é,\x7f", "[]"])
def test_settings_load_with_bad_keys(installation, keys):
    read(installation, FERNET_KEYS=keys, SECRET_KEY=keys)


def test_mfa_is_required_unless_that_is_clearly_off(installation):
    assert read(installation)["REQUIRE_MFA"] is False
    assert read(installation, REQUIRE_MFA="yess")["REQUIRE_MFA"] is True
    assert read(installation, REQUIRE_MFA="off")["REQUIRE_MFA"] is False


def test_https_is_on_unless_it_is_clearly_off(installation):
    assert read(installation)["HTTPS"] is True
    assert read(installation, HTTPS="yess")["HTTPS"] is True
    assert read(installation, HTTPS="Off")["HTTPS"] is False


@pytest.mark.parametrize("proxies", ["10.0.0.1/8", "proxy.example.com"])
def test_a_proxy_that_is_no_network_is_an_error_and_not_trusted(settings, proxies):
    settings.TRUSTED_PROXIES = [proxies]
    (error,) = check_proxies(None)
    assert error.id == "connections.E002"
    assert not is_trusted_proxy("10.0.0.1")


def test_production_settings_pass_the_deployment_check(installation):
    checked = installation.run(
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        SECRET_KEY=get_random_secret_key(),
        FERNET_KEYS=keyring.generate_key(),
        ALLOWED_HOSTS="latchkey.example.com",
    )
    assert checked.returncode == 0, checked.stderr


def test_every_setting_is_documented():
    operations = (BASE_DIR / "docs/operations.md").read_text()
    example = (BASE_DIR / ".env.example").read_text()
    for name in ENV_SETTINGS:
        assert f"| `{name}` |" in operations, name
        assert re.search(rf"^#?{name}=", example, re.M), name


def test_the_example_names_only_existing_settings():
    example = (BASE_DIR / ".env.example").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.M)) == set(ENV_SETTINGS)


def test_the_cookies_of_a_session_are_out_of_reach_of_scripts():
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.CSRF_COOKIE_HTTPONLY
