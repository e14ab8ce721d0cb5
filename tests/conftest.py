"""What every test can count on: a committed proof of the keys, and Debian's Chromium."""

import gc
import os
from pathlib import Path

import pytest
import time_machine
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.template import RequestContext, Template
from django.test.signals import template_rendered
from hypothesis import HealthCheck, settings
from playwright.sync_api import expect

from connections.encryption import keyring
from connections.jobs import import_job, runs
from tests.support.browser import sign_in
from tests.support.change_runs import many, three  # noqa: F401 (fixtures)
from tests.support.helpers import NOW, member_of
from tests.support.import_runs import launched, run, small_batches  # noqa: F401 (fixtures)
from tests.support.installation import Installation
from tests.support.stores import VENDOR, stores  # noqa: F401 (a fixture)
from tests.support.thorough import is_thorough

IN_PROCESSES = {"stores", "installed"}  # fixtures
CHROMIUM = "/usr/bin/chromium"

OWN_KEYS = (keyring.digest_key, keyring.fingerprint_key, keyring.audit_key)
UNPROTECT = {
    "sqlite": "DROP TRIGGER audit_no_delete",
    "postgresql": "DROP TRIGGER audit_no_truncate ON connections_accessevent",
}

# The browser's fixtures run an event loop beside the ORM, which is fine in a test.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
# Each look for garbage goes through all of Django and of the tests: a tenth of their time.
gc.set_threshold(50_000, 20, 100)
# What a page is to show comes late on a machine that is busy.
expect.set_options(timeout=30_000)
# Nor does the time that an example takes there say anything.
settings.register_profile(
    "default", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=120)
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def django_test_environment(django_test_environment):
    """Responses keep the context of their page alone, not that of each of its hundred widgets."""

    def render(template, context):
        if context.template is template and isinstance(context, RequestContext):
            template_rendered.send(sender=template, template=template, context=context)
        return template.nodelist.render(context)

    Template._render = render  # Django puts its own back


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Prove and make the keys once, outside any test's transaction: no test counts its queries.

    The audit log may be emptied, too.
    """
    with django_db_blocker.unblock():
        for use in (keyring.require_keys, *OWN_KEYS):
            use()
        # Tests that commit are followed by emptying every table.
        with connection.cursor() as cursor:
            cursor.execute(UNPROTECT[connection.vendor])


@pytest.fixture
def operator():
    return member_of("Operator")


@pytest.fixture
def custodian():
    return member_of("Custodian")


@pytest.fixture
def clock(db):
    """It is NOW, until a test moves on."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def content_types_are_read_anew(request):
    """Emptied tables are filled again with content types of other ids than those in the cache."""
    marker = request.node.get_closest_marker("django_db")
    if marker and marker.kwargs.get("transaction"):
        ContentType.objects.clear_cache()
        yield
        ContentType.objects.clear_cache()
    else:
        yield


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An Installation after its first start, to be copied."""
    installation = Installation(tmp_path_factory.mktemp("installed") / "copy")
    assert installation.bootstrap().returncode == 0
    return installation


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    return {
        **browser_type_launch_args,
        "executable_path": CHROMIUM,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.fixture
def nothing_opens(monkeypatch):
    """Calling it makes every opening fail from then on."""

    def refuse(*args):
        raise AssertionError("something was opened")

    return lambda: monkeypatch.setattr(keyring, "unseal", refuse)


@pytest.fixture
def complaints(page):
    """What the console and the policy complain about; there must be nothing in the end."""
    found = []
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and found.append(message.text),
    )
    page.on("pageerror", lambda error: found.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " event => console.error('CSP', event.violatedDirective))"
    )
    yield found
    assert found == []


@pytest.fixture
def at_once(monkeypatch):
    """What is confirmed is done here, where its process would not see the test's database.

    test_journeys_served.py has a process.
    """
    monkeypatch.setattr(runs, "launch", lambda confirmed: import_job.execute(confirmed.pk))


@pytest.fixture
def person(page, live_server, admin_user, complaints, at_once):
    """The page, with an administrator signed in, who has the password "password"."""
    sign_in(page, live_server.url, "password")
    return page


def pytest_xdist_auto_num_workers(config):
    """Workers are for the whole suite: for a file or two, starting them takes longer."""
    whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    return None if whole else 0


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    """Who works with a store or an installation of its own does so in real processes.

    Told of PostgreSQL, only tests that have to do with it are run; those marked `thorough` only in
    the profile of that name. The tests of a file run in one worker, and share what is made once a
    module. What takes long begins early. Tests that empty the tables, groups and all, come last.
    """
    for item in items:
        if not IN_PROCESSES.isdisjoint(item.fixturenames):
            item.add_marker("crash")
        if not any(map(item.get_closest_marker, ("crash", "browser", "xdist_group"))):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {empties_tables(item)}"))
    chosen = [item for item in items if is_chosen(item)]
    config.hook.pytest_deselected(items=[item for item in items if not is_chosen(item)])
    items[:] = chosen
    yield
    items.sort(key=lambda item: not item.nodeid.endswith("@crawl"))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def is_chosen(item):
    is_long = item.get_closest_marker("thorough") is not None
    return (is_thorough() or not is_long) and (VENDOR == "sqlite" or uses_database(item))


def empties_tables(item):
    marker = item.get_closest_marker("django_db")
    return bool(marker and marker.kwargs.get("transaction")) or "live_server" in item.fixturenames


def uses_database(item):
    is_marked = item.get_closest_marker("django_db") is not None
    is_given = not {"db", "transactional_db"}.isdisjoint(item.fixturenames)
    return is_marked or is_given or VENDOR in item.name


def pytest_runtest_setup(item):
    if item.get_closest_marker("browser") and not Path(CHROMIUM).exists():
        message = f"There is no Chromium at {CHROMIUM} (Debian: apt-get install chromium)."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
