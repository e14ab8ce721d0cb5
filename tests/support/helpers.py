"""A fixed cast of records and the few verbs that many tests share."""

import io
import json
import re
from datetime import datetime, timedelta, timezone

from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from connections.import_export import exporter, importer
from connections.models import AccessEvent, ConnectionAuth, UserScope

NOW = datetime(2026, 11, 24, 9, 4, tzinfo=timezone.utc)

# Secrets that are recognisable wherever they turn up.
SECRET = "synth-SECRET-6f1d2c"

FULL_AUTH = {
    "accessToken": f"{SECRET}-access",
    "apiUrl": "https://api.example.com/v1",
    "appId": "app-1",
    "audience": "https://audience.example.com",
    "authorizeUrl": "https://login.example.com/authorize",
    "clientId": "client-1",
    "clientSecret": f"{SECRET}-client",
    "consumerKey": f"{SECRET}-consumer-key",
    "consumerSecret": f"{SECRET}-consumer",
    "devApiKey": f"{SECRET}-dev",
    "emails": ["ada@example.com", "grace@example.com"],
    "expiresIn": 3600,
    "expiryDate": "2027-01-01T00:00:00.000Z",
    "key": f"{SECRET}-key",
    "meta": {"realm": f"{SECRET}-meta", "depth": {"n": 1.5, "list": [1, None, True]}},
    "name": "Bramblewood Care Homes",
    "otherAuthInfo": [f"{SECRET}-other-0", f"{SECRET}-other-1"],
    "pem": f"-----BEGIN PRIVATE KEY-----\r\n{SECRET}\r\n-----END PRIVATE KEY-----\r\n",
    "refreshToken": f"{SECRET}-refresh",
    "refreshTokenExpiresDate": "2027-06-01T12:00:00.000Z",
    "refreshTokenExpiresIn": 86400.5,
    "refreshUrl": "https://login.example.com/refresh",
    "state": f"{SECRET}-state",
    "token": f"{SECRET}-token",
    "tokenUrl": "https://login.example.com/token",
    "userId": "user-1",
}


class Text:
    """A source (see connections.reader) made of text, bytes or JSON values."""

    def __init__(self, content, name="test.json"):
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        self.content = content.encode() if isinstance(content, str) else content
        self.name = name

    def chunks(self):
        if self.content:
            yield self.content

    def read(self, offset, length):
        return self.content[offset : offset + length]


def import_text(content, name="test.json", **options):
    """Import one source; returns `(result, verdicts)`."""
    verdicts = []
    result = importer.run_import(
        [Text(content, name)], importer.ImportOptions(**options), on_verdict=verdicts.append
    )
    return result, verdicts


def export_text(queryset=None, **options):
    """The export as text."""
    queryset = ConnectionAuth.objects.all() if queryset is None else queryset
    return "".join(
        exporter.stream(queryset, exporter.ExportOptions(**options), exporter.ExportTally())
    )


def run_command(*arguments):
    """Call a command; returns its exit status, output and errors."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = end.code
    return code, out.getvalue(), err.getvalue()


def codes(verdicts):
    """The codes of all issues, in order."""
    return [issue.code for verdict in verdicts for issue in verdict.issues]


def latest_event(action):
    """The newest entry of the audit log with that action."""
    return AccessEvent.objects.filter(action=action).latest("id")


def signed_in(user):
    """A client in which that user is signed in, who is its `user`."""
    client = Client()
    client.force_login(user)
    client.user = user
    return client


def user_with(*codenames, name="somebody"):
    """A client of a new user who has those permissions and no other."""
    user = User.objects.create_user(name, password="password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return signed_in(user)


def member_of(group, name=None, **limits):
    """A client of a new user of a group, called like it; `limits` are those of a UserScope."""
    user = User.objects.create_user(name or group, password="password", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    if limits:
        UserScope.objects.create(user=user, **limits)
    return signed_in(user)


def prove_present(client, password="password"):
    """Give the password once more, as what asks for presence wants it; returns the client."""
    proof = {"password": password, "next": "/admin/"}
    assert client.post("/admin/account/reauthenticate/", proof).url == "/admin/"
    return client


def text_of(response):
    """The text of a page, without tags and with single blanks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def make(**fields):
    """A stored record; `ends_in` is a timedelta from now to its expiry date."""
    if "ends_in" in fields:
        fields["expiry_date"] = datetime.now(timezone.utc) + fields.pop("ends_in")
    return ConnectionAuth.objects.create(**fields)


def cast():
    """One record for each bucket, and a stale one: a dict by bucket name."""
    return {
        "broken": make(name="Broken Ltd", access_token=SECRET, ends_in=timedelta(hours=-1)),
        "day": make(name="Day Ltd", access_token=SECRET, ends_in=timedelta(hours=5)),
        "week": make(name="Week Ltd", key=SECRET, ends_in=timedelta(days=3)),
        "month": make(name="Month Ltd", token=SECRET, ends_in=timedelta(days=20)),
        "later": make(name="Later Ltd", access_token=SECRET, ends_in=timedelta(days=200)),
        "no_end": make(name="Endless Ltd", dev_api_key=SECRET),
        "stale": make(
            name="Stale Ltd",
            access_token=SECRET,
            refresh_token=SECRET,
            ends_in=timedelta(hours=-2),
        ),
    }
