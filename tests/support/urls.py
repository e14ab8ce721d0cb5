"""Every address of the console, and something to show at each."""

from contextlib import suppress

from django.contrib.auth.models import Group, User
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils import timezone

from connections.jobs import bulk_change
from connections.models import ConnectionAuth, ImportRun, Integration
from tests.support.helpers import FULL_AUTH, cast, import_text, make
from tests.support.passkeys import SoftPasskey


def admin_names():
    """The names of all addresses under the admin, from the URL conf."""
    found, resolvers = set(), [get_resolver().url_patterns]
    while resolvers:
        for pattern in resolvers.pop():
            if hasattr(pattern, "url_patterns"):
                resolvers.append(pattern.url_patterns)
            elif pattern.name:
                found.add(pattern.name)
    return found


def things(user):
    """Something to show on every page, some of it this user's: name of a model -> primary key."""
    cast()
    import_text([{"id": "c", "integrationType": "hubspot", "auth": FULL_AUTH}])
    run = ImportRun.objects.create(user=user, file_name="a", size=1, sha256="")
    return {
        "connectionauth": ConnectionAuth.objects.get(connection_id="c").pk,
        "integration": Integration.objects.get().pk,
        "user": User.objects.create_user("bob").pk,
        # Those of the migrations are gone where a test before this one emptied all tables.
        "group": Group.objects.get_or_create(name="Viewer")[0].pk,
        "import": run.pk,
        "change_": bulk_change.prepare(user, "pause", ConnectionAuth.objects.all()).pk,
        "webauthn": SoftPasskey(user).store().pk,
        "bin": make(name="Binned Ltd", binned_at=timezone.now()).pk,
    }


def address(name, objects):
    """The address of a page, with what it needs filled in."""
    if name.endswith("_reveal"):
        return reverse(f"admin:{name}", args=[objects["connectionauth"], "pem"])
    candidates = [[]] + [[pk] for model, pk in objects.items() if f"_{model}" in name]
    for args in [*candidates, ["connections"], [1, 1]]:
        for full_name in (f"admin:{name}", name):
            with suppress(NoReverseMatch):
                return reverse(full_name, args=args)
    raise AssertionError(f"no address for {name}")
