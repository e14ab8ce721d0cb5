"""Users who are limited to some environments and integrations."""

from connections.models import Integration, Scope
from tests.support.helpers import member_of

TYPES = (None, "x", "y", "z")
HERS = Scope(("Test",), ("x",))


def limited(scope=HERS, group="Custodian", name="hers"):
    limits = {"environments": [*scope.environments], "integrations": [*scope.integrations]}
    return member_of(group, name, **limits).user


def integrations():
    Integration.objects.bulk_create(
        [Integration(type=kind, name=f"Int {kind}") for kind in "xyz"], ignore_conflicts=True
    )
