"""Private names of Django and allauth that we override or call take the same arguments.

CONTRIBUTING.md lists the names, and tests/docs/test_contributing.py looks for each.
"""

import inspect
from importlib import import_module

import pytest
from django.contrib import admin
from django.utils.module_loading import import_string

from connections.accounts.mfa import MFAAdapter
from connections.accounts.sign_in import AccountAdapter
from connections.console.records.forms import ConnectionAuthForm
from project.cache import DatabaseCache
from tests.docs.test_contributing import PRIVATE_NAMES

PARAMETERS = {
    "allauth.account.adapter.DefaultAccountAdapter._get_login_attempts_cache_key": (
        *("self", "request", "credentials"),
    ),
    "allauth.account.internal.flows.reauthentication.did_recently_reauthenticate": ("request",),
    "allauth.mfa.adapter.DefaultMFAAdapter._get_user_identifier": ("self", "user"),
    "allauth.mfa.webauthn.internal.auth.parse_authentication_response": ("response",),
    "django.contrib.admin.ModelAdmin._get_obj_does_not_exist_redirect": (
        *("self", "request", "opts", "object_id"),
    ),
    "django.core.cache.backends.db.DatabaseCache._base_set": (
        *("self", "mode", "key", "value", "timeout"),
    ),
    "django.core.cache.backends.db.DatabaseCache._base_delete_many": ("self", "keys"),
    "django.core.cache.backends.db.DatabaseCache._cull": ("self", "db", "cursor", "now", "num"),
    "django.forms.ModelForm._post_clean": ("self",),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_private_function_takes_the_same_arguments(name):
    owner, _, attribute = name.rpartition(".")
    try:
        owner = import_string(owner)
    except ImportError:  # a module
        owner = import_module(owner)
    parameters = inspect.signature(getattr(owner, attribute)).parameters
    assert tuple(parameters) == PARAMETERS[name]


def test_every_private_method_that_is_overridden_is_listed():
    listed = {name.rpartition(".")[2] for name, _ in PRIVATE_NAMES}
    admins = (type(model_admin) for model_admin in admin.site._registry.values())
    for our_class in (MFAAdapter, AccountAdapter, ConnectionAuthForm, DatabaseCache, *admins):
        ours, theirs = set(), set()
        for base in our_class.__mro__:
            is_ours = base.__module__.startswith(("connections", "project"))
            methods = (name for name, value in vars(base).items() if inspect.isfunction(value))
            (ours if is_ours else theirs).update(methods)
        private = {name for name in ours & theirs if name.startswith("_") and "__" not in name}
        assert private <= listed, our_class
