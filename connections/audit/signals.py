"""Entries made by signals: logins, changes of users, groups, permissions and integrations."""

from allauth.mfa import signals as mfa
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver
from django.utils import translation

from connections.audit import log
from connections.models import Integration

User = get_user_model()
PERMISSION_FIELDS = {"is_active", "is_staff", "is_superuser"}
# A login has an entry of its own; the admin cuts the microseconds off `date_joined` at each save.
IGNORED_FIELDS = {"id", "last_login", "date_joined"}


@receiver([user_logged_in, user_logged_out])
def log_login_or_logout(signal, user, **kwargs):
    if user is not None:
        log.log_event("login" if signal is user_logged_in else "logout", user=user)


@receiver(user_login_failed)
def log_failed_login(credentials, **kwargs):
    """Log the user name only if there is such a user: otherwise it may be a mistyped password."""
    name = credentials.get(User.USERNAME_FIELD) or ""
    if User.objects.filter(**{User.USERNAME_FIELD: name}).exists():
        log.log_event("login_failed", user=name, result="failed")
    else:
        log.log_event("login_failed", user="", reason="Unknown user name", result="failed")


@receiver(mfa.authentication_failed)
def log_failed_mfa(user, **kwargs):
    log.log_event("login_failed", user=user, reason="Wrong code", result="failed")


@receiver([mfa.authenticator_added, mfa.authenticator_removed, mfa.authenticator_reset])
def log_mfa_change(signal, user, authenticator, **kwargs):
    verb = "Removed" if signal is mfa.authenticator_removed else "Added"
    with translation.override(settings.LANGUAGE_CODE):  # it is stored for readers of any language
        reason = f"{verb}: {authenticator.get_type_display()}"
    log.log_event("change", record=user, fields=log.SECOND_FACTOR_FIELDS, reason=reason)


@receiver(pre_save, sender=User)
@receiver(pre_save, sender=Group)
def remember_changes(sender, instance, raw, update_fields, **kwargs):
    """Note the names of the fields that are about to change, for log_save()."""
    # loaddata restores objects together with the entries about them.
    instance._changed_fields, instance._is_raw = (), raw
    names = [field.attname for field in sender._meta.concrete_fields]
    names = {*(update_fields or names)} - IGNORED_FIELDS
    if raw or not names:
        return
    stored = sender.objects.filter(pk=instance.pk).values(*names).first() or {}
    instance._changed_fields = {name for name in stored if stored[name] != getattr(instance, name)}


@receiver(post_save, sender=User)
@receiver(post_save, sender=Group)
def log_save(instance, created, raw, **kwargs):
    if raw:
        return
    changed = instance._changed_fields
    if created:
        given = {name for name in PERMISSION_FIELDS if getattr(instance, name, False)}
        log.log_event("add", record=instance, fields=given)
    elif changed:
        action = "permission" if changed & PERMISSION_FIELDS else "change"
        log.log_event(action, record=instance, fields=changed)


@receiver(post_delete, sender=User)
@receiver(post_delete, sender=Group)
@receiver(post_delete, sender=Integration)
def log_delete(instance, **kwargs):
    log.log_event("delete", record=instance)


M2M_VERBS = {"post_add": "Added", "post_remove": "Removed", "pre_clear": "Removed"}


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def log_permission_change(sender, instance, action, reverse, model, pk_set, **kwargs):
    if action not in M2M_VERBS or getattr(instance, "_is_raw", False):
        return
    # `sender` is the table between the model that has the field and the other one.
    owner = model if reverse else type(instance)
    field = next(f for f in owner._meta.many_to_many if f.remote_field.through is sender)
    related = getattr(instance, field.remote_field.get_accessor_name() if reverse else field.name)
    changed = related.all() if pk_set is None else model.objects.filter(pk__in=pk_set)
    # str() of a permission would take a query each.
    names = [getattr(other, "codename", None) or str(other) for other in changed.order_by("pk")]
    if names:
        log.log_event(
            "permission",
            record=instance,
            fields=[field.name],
            count=len(names),
            reason=f"{M2M_VERBS[action]}: {', '.join(names)}",
        )
