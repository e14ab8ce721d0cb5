"""Signing in as a person does, step by step, without a browser."""

import base64
import json
import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

ACCOUNT = "/admin/account"
LOGIN, CODE = f"{ACCOUNT}/login/", f"{ACCOUNT}/mfa/authenticate/"
SECRET = base64.b32encode(b"a secret of 20 bytes").decode()


def code(secret=SECRET):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def give_password(client, password="password"):
    return client.post(LOGIN, {"login": "admin", "password": password})


def prove(client):
    client.post(f"{ACCOUNT}/reauthenticate/", {"password": "password"})


def is_signed_in(client):
    return client.get("/admin/jsi18n/").status_code == 200  # the page that costs least


def challenge_of(options):
    return options["publicKey"]["challenge"]


def add_passkey(client, key):
    """Add a SoftPasskey on the page for it; returns the answer."""
    page = client.get(f"{ACCOUNT}/mfa/webauthn/add/")
    made = key.register(challenge_of(page.context["js_data"]["creation_options"]))
    form = {"name": "My key", "passwordless": "on", "credential": json.dumps(made)}
    return client.post(f"{ACCOUNT}/mfa/webauthn/add/", form)
