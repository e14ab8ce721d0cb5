"""Named filters of the list of connections, of one user or shared."""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from connections.lib.text import in_one_line
from connections.models.user_scope import Scope, scope_of

SHARE_PERMISSION = "connections.share_views"


class SavedViewQuerySet(models.QuerySet):
    def available_to(self, user: User) -> "list[SavedView]":
        """Those of a user and the shared ones, without those that name anything out of scope."""
        views = self.filter(Q(user=user) | Q(is_shared=True)).order_by("is_shared", "name", "pk")
        scope = scope_of(user)
        return [view for view in views if not scope.is_limited or view.is_inside(scope)]


class SavedView(models.Model):
    """A filter of the list under a name. It narrows what a user sees, and never widens it."""

    MAX_PER_USER = 20

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    # The query string of the list, without a page number.
    query = models.CharField(max_length=2000)
    is_shared = models.BooleanField(default=False)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        verbose_name = _("view")
        default_permissions = ()
        permissions = [("share_views", gettext_noop("Can share views of the list"))]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="saved_view_one_of_a_name")
        ]

    def __str__(self):
        return in_one_line(self.name)

    def is_inside(self, scope: Scope) -> bool:
        """Whether it names no integration and no environment outside a Scope."""
        params = QueryDict(self.query)
        if scope.integrations and "other_than" in params:  # it names those that it leaves out
            return False
        return scope.includes(
            params.get("integration", next(iter(scope.integrations), None)),
            params.get("environment", next(iter(scope.environments), None)),
        )

    def is_editable_by(self, user: User) -> bool:
        return self.user_id == user.pk or (self.is_shared and user.has_perm(SHARE_PERMISSION))
