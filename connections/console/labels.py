"""The console's labels: of statuses, fields, sources of an expiry, conflict policies."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

CONFLICT_POLICIES = (
    (
        "update",
        _("Update it"),
        _("Plain fields become the file's. Secrets that the file lacks stay."),
    ),
    ("replace", _("Replace it"), _("Exactly what the file says. What it lacks is cleared.")),
    ("skip", _("Skip it"), _("Keep what is stored.")),
    ("fail", _("Refuse the record"), _("And say so in the report.")),
)


# Where the state of a run (see jobs.runs) is not its status.
RUN_STATE_LABELS = {"waiting": _("Waiting"), "interrupted": _("Interrupted")}

FIELD_LABELS = {
    "access_token": _("Access token"),
    "api_url": _("API address"),
    "app_id": _("App id"),
    "audience": _("Audience"),
    "authorize_url": _("Authorise address"),
    "client_id": _("Client id"),
    "client_secret": _("Client secret"),
    "connection_id": _("Connection id"),
    "consumer_key": _("Consumer key"),
    "consumer_secret": _("Consumer secret"),
    "dev_api_key": _("Developer API key"),
    "emails": _("E-mail addresses"),
    "environment": _("Environment"),
    "expires_in": _("Access lasts"),
    "expiry_date": _("Access ends"),
    "external_xref": _("Your reference"),
    "extra": _("Keys that we do not know"),
    "integration": _("Integration"),
    "is_paused": _("Paused"),
    "key": _("Key"),
    "meta": _("Meta"),
    "name": _("Name"),
    "other_auth_info": _("Other credentials"),
    "pem": _("Certificate"),
    "refresh_token": _("Refresh token"),
    "refresh_token_expires_date": _("Refresh ends"),
    "refresh_token_expires_in": _("Refresh lasts"),
    "refresh_url": _("Refresh address"),
    "state": pgettext_lazy("field", "State"),
    "token": _("Token"),
    "token_url": _("Token address"),
    "user_id": _("User id"),
}

FIELD_HELP_TEXTS = {
    "emails": _("One address a line."),
    "connection_id": _("The id that the API knows it by. It can't be changed later."),
    "environment": _("Blank counts as Production."),
    "expires_in": _("Seconds."),
    "expiry_date": _("A whole instant, such as 2026-11-30 14:20 +01:00."),
    "extra": _("Kept as they came, and written again by an export."),
    "external_xref": _("Your own id for the customer. Shown in lists and exports."),
    "is_paused": _("Kept as it is."),
    "key": _("An API key, or the private key that belongs to the certificate."),
    "meta": _("A JSON object."),
    "other_auth_info": _("One credential a line."),
    "pem": _("PEM text with its BEGIN and END lines."),
    "refresh_token_expires_date": _("A whole instant, such as 2026-11-30 14:20 +01:00."),
    "refresh_token_expires_in": _("Seconds."),
}


EXPIRY_SOURCES = {
    "expiry_date": (_("The API said so"), "expiryDate"),
    "expires_in": (_("The API's date of the tokens and how long they last"), "expiresIn"),
    "expires_in_estimate": (_("How long they last, counted from when they came in"), "expiresIn"),
    "jwt": (_("The token says so itself"), "exp"),
    "certificate": (_("The certificate says so"), "notAfter"),
    "": (_("Nothing stored says when it ends"), ""),
}


STATUS_LABELS = {
    "broken": _("Broken"),
    "day": _("24 hours"),
    "week": _("7 days"),
    "month": _("30 days"),
    "later": _("Later"),
    "no_end": _("No known end"),
    # These apply besides a bucket.
    "stale": _("Stale"),
    "paused": _("Paused"),
    "unreadable": _("Unreadable"),
}

NEXT_STEPS = {
    "oauth2": _("Ask them to reconnect"),
    "oauth1": _("Ask them to reconnect"),
    "certificate": _("Upload a new certificate"),
    "api_key": _("Paste a new API key"),
    "other": _("Enter new credentials"),
    "empty": _("Enter new credentials"),
}


def field_label(name):
    return FIELD_LABELS.get(name, name)
