"""The kinds of systems that connections connect to."""

from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from connections.encryption import keyring
from connections.encryption.digests import token_url_digest
from connections.lib.text import in_one_line
from connections.models.user_scope import scope_of


class IntegrationQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """Those inside the scope of a user."""
        scope = scope_of(user)
        return self.filter(type__in=scope.integrations) if scope.integrations else self


class Integration(models.Model):
    """A kind of system that connections connect to, such as HubSpot."""

    AUTH_TYPES = [
        ("oauth2", "OAuth 2"),
        ("oauth1", "OAuth 1"),
        ("token", _("Token")),
        ("other", _("Other")),
    ]

    type = models.CharField(
        _("type"),
        max_length=255,
        unique=True,
        help_text=_("The API's integration_type, such as hubspot."),
    )
    name = models.CharField(_("name"), max_length=255, blank=True)
    auth_type = models.CharField(_("auth type"), max_length=16, choices=AUTH_TYPES, blank=True)
    token_names = models.JSONField(
        _("token names"),
        default=list,
        blank=True,
        help_text=_("Labels of the credentials in otherAuthInfo, in their order."),
    )
    token_instructions = models.JSONField(_("token instructions"), default=list, blank=True)
    categories = models.JSONField(_("categories"), default=list, blank=True)
    token_url = models.TextField(
        _("token address"),
        blank=True,
        help_text=_("Used for renewal where a connection has no token address."),
    )

    # An address that was changed behind the application's back is found by it before it is used.
    token_url_digest = models.CharField(max_length=64, null=True, editable=False)

    objects = IntegrationQuerySet.as_manager()

    class Meta:
        verbose_name = _("integration")
        verbose_name_plural = _("integrations")
        ordering = ["name", "type"]
        permissions = [("change_token_url", gettext_noop("Can change the token address"))]

    def __str__(self):
        return in_one_line(self.name or self.type)

    def save(self, **kwargs):
        """Write it, with a new digest where the token address is new.

        Otherwise the stored digest stays: who saves another field does not vouch for an address
        that was changed behind the application's back.
        """
        names = kwargs.get("update_fields")
        if (names is None or "token_url" in names) and self.token_url != self._stored_token_url():
            self.token_url_digest = token_url_digest(
                self.type, self.token_url, keyring.digest_key()
            )
            if names is not None:
                kwargs["update_fields"] = {*names, "token_url_digest"}
        super().save(**kwargs)

    def _stored_token_url(self):
        stored = type(self).objects.filter(pk=self.pk).values_list("token_url", flat=True)
        return None if self._state.adding else stored.first()
