"""System checks of keys and settings."""

import ipaddress
import sys

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register
from django.db import OperationalError, ProgrammingError, transaction

from connections.encryption import keyring
from connections.models import ConnectionAuth


@register(Tags.security)
def check_keys(app_configs, **kwargs):
    """connections.E001: FERNET_KEYS is missing, weak, or does not open what is stored."""
    if keyring.may_run_without_keys(sys.argv):
        return []
    try:
        keyring.require_keys()
    except keyring.KeyringError as error:
        hint = f"{error.remedy[0].upper()}{error.remedy[1:]}."
        return [Error(f"{error.problem}.", hint=hint, id="connections.E001")]
    return []


@register(Tags.security)
def check_key_order(app_configs, **kwargs):
    """connections.W001: most connections are sealed under another key than the first."""
    if check_keys(app_configs) or keyring.may_run_without_keys(sys.argv):
        return []
    names = keyring.key_ids()
    if len(names) == 1:
        return []
    try:
        with transaction.atomic():
            counts = ConnectionAuth.all_objects.counts_by_key()
    except (OperationalError, ProgrammingError):  # before the first `migrate`
        return []
    most = max(names, key=lambda name: counts.get(name, 0))
    if counts.get(most, 0) <= counts.get(names[0], 0):
        return []
    return [
        Warning(
            f"Most connections are sealed under key {names.index(most) + 1} in FERNET_KEYS, and "
            "new values under the first.",
            hint="If you have just put a new key in front, run `python manage.py rotate_keys`. "
            "If not, the order is swapped: the newest key comes first.",
            id="connections.W001",
        )
    ]


@register(Tags.security)
def check_proxies(app_configs, **kwargs):
    """connections.E002: an entry of TRUSTED_PROXIES is no network, so no proxy is trusted."""
    errors = []
    for network in settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            hint = "Write it as 10.0.0.1 or 10.0.0.0/8."
            errors.append(Error(f"TRUSTED_PROXIES: {error}.", hint=hint, id="connections.E002"))
    return errors
