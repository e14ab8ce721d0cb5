"""The environments and integrations that a user is limited to: the one place for that rule."""

from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

PRODUCTION = "Production"  # what an absent environment is shown as


class Scope(NamedTuple):
    """Names of environments and types of integrations; an empty tuple means any."""

    environments: tuple = ()
    integrations: tuple = ()

    @property
    def is_limited(self) -> bool:
        return bool(self.environments or self.integrations)

    def condition(self, prefix: str = "") -> Q:
        """That a record is inside; `prefix` is the path to the record, such as `connections__`."""
        condition = Q()
        if self.environments:
            condition &= in_environments(self.environments, prefix)
        if self.integrations:
            condition &= Q(**{f"{prefix}integration__in": self.integrations})
        return condition

    def includes(self, integration: str | None, environment: str | None) -> bool:
        """The same for the type of the integration and the environment of one record."""
        return (not self.environments or (environment or PRODUCTION) in self.environments) and (
            not self.integrations or integration in self.integrations
        )


UNLIMITED = Scope()


def in_environments(names: Iterable[str], prefix: str = "") -> Q:
    """That a record has one of the environments; none counts as Production, as it is shown."""
    condition = Q(**{f"{prefix}environment__in": names})
    if PRODUCTION in names:
        condition |= Q(**{f"{prefix}environment": None}) | Q(**{f"{prefix}environment": ""})
    return condition


class UserScope(models.Model):
    """The limits of a user.

    They name the types of integrations: deleting an integration must not widen them.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="scope"
    )
    environments = models.JSONField(default=list, blank=True)
    integrations = models.JSONField(default=list, blank=True)

    class Meta:
        default_permissions = ()


def scope_of(user: User | None) -> Scope:
    """The Scope of a user, read once for each user object.

    A superuser has no limits, nor has a command, which has no user (None).
    """
    if user is None or user.is_superuser or user.pk is None:
        return UNLIMITED
    limits = getattr(user, "scope", None)  # loaded with the user, see accounts.sign_in
    return Scope(tuple(limits.environments), tuple(limits.integrations)) if limits else UNLIMITED
