"""System checks: what must be right before the console may run."""

import sys

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
