"""The page of one connection, asked for and sent back as a browser would."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import RequestFactory
from django.urls import reverse

from connections.encryption.fields import Sealed
from connections.models import ConnectionAuth, Integration
from tests.support.helpers import FULL_AUTH, SECRET, import_text

ADD = reverse("admin:connections_connectionauth_add")
LIST = reverse("admin:connections_connectionauth_changelist")
PLAIN_TEXT = (
    "name",
    "app_id",
    "audience",
    "client_id",
    "user_id",
    "api_url",
    "token_url",
    "authorize_url",
    "refresh_url",
    "environment",
    "external_xref",
)


def page(record, what="change"):
    return reverse(f"admin:connections_connectionauth_{what}", args=[record.pk])


def form_of(record, data=None):
    """The form on the page of a record, with what is sent of it."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    model_admin = admin.site.get_model_admin(ConnectionAuth)
    return model_admin.get_form(request, record, change=True)(data, instance=stored(record))


def form_data(record, **changes):
    """What a browser would send of a page with some inputs changed; None leaves one out."""
    data = {}
    for field in form_of(record):
        shown, widget = field.value(), field.field.widget
        if isinstance(shown, bool):
            data.update({field.name: "on"} if shown else {})
        elif shown is not None and widget.input_type == "select":
            data[field.name] = str(shown)
        elif shown is not None:
            text = str(widget.format_value(shown) or "")
            data[field.name] = text.replace("\r", "").replace("\n", "")
    return {name: value for name, value in {**data, **changes}.items() if value is not None}


def save(client, record, **changes):
    """Send the page of a record with some inputs changed."""
    return client.post(page(record), form_data(record, **changes))


def refusals(record, **changes):
    """The errors of these changes by field, without the page, which takes far longer."""
    return form_of(record, form_data(record, **changes)).errors


def add(client, **data):
    return client.post(ADD, data)


def messages_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response):
    return response.context["adminform"].form.errors


def stored(record):
    return ConnectionAuth.all_objects.get(pk=record.pk)


def full_record():
    """A record with everything in it, unknown keys too."""
    Integration.objects.get_or_create(
        type="hubspot", name="HubSpot", token_names=["API key", "PIN"]
    )
    entry = {
        "id": "conn-1",
        "integrationType": "hubspot",
        "environment": "Sandbox",
        "externalXref": "customer-9",
        "categories": ["crm"],
        "permissions": ["read"],
        "isPaused": False,
        "workspaceId": "ws-1",
        "auth": {**FULL_AUTH, "newKey": f"{SECRET}-new"},
    }
    result, _ = import_text([entry])
    assert result.created == 1
    return ConnectionAuth.objects.get(connection_id="conn-1")


def spoil(record, *names, token="garbage"):
    for name in names:
        ConnectionAuth.all_objects.filter(pk=record.pk).update(
            **{name: Sealed(token, name, str(record.pk))}
        )
