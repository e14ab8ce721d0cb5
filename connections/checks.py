"""System checks: what must be right before the console may run."""

import ipaddress
import sys

from django.conf import settings
from django.core.checks import Error, Tags, register

from . import keyring


@register(Tags.security)
def check_keys(app_configs, **kwargs):
    """connections.E001: FERNET_KEYS is missing, weak, or not what sealed the stored records."""
    if keyring.is_keyless(sys.argv):
        return []
    try:
        keyring.require()
    except keyring.KeyringError as error:
        sentence, _, hint = str(error).partition(". ")
        return [Error(sentence.rstrip(".") + ".", hint=hint or None, id="connections.E001")]
    return []


@register(Tags.security)
def check_proxies(app_configs, **kwargs):
    """connections.E002: what TRUSTED_PROXIES names is no network, so that no proxy is believed."""
    errors = []
    for network in settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            hint = "Write it as 10.0.0.1 or 10.0.0.0/8."
            errors.append(Error(f"TRUSTED_PROXIES: {error}.", hint=hint, id="connections.E002"))
    return errors
