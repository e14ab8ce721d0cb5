"""The page where one imports, used as a browser would."""

import io
import json

from django.urls import reverse

URL = reverse("admin:connections_import")


def upload(client, content, name="connections.json"):
    """Send a file of that text, those bytes or JSON values; the answer leads to its check."""
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    file = io.BytesIO(content)
    file.name = name
    return client.post(URL, {"file": file, "text": ""})


def paste(client, content):
    """Paste that text or those JSON values; the answer leads to its check."""
    text = content if isinstance(content, str) else json.dumps(content)
    return client.post(URL, {"text": text})


def check(client, response, **query):
    """Follow an upload to its check; returns that page."""
    assert response.status_code == 302, response.content.decode()
    return client.get(response.url, query)


def connection(number=1, **auth):
    return {"id": f"c-{number}", "integrationType": "hubspot", "auth": {"name": "N", **auth}}
