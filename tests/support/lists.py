"""The list of connections, and what a page of it shows."""

import re

from django.urls import reverse

URL = reverse("admin:connections_connectionauth_changelist")


def names(response):
    """The names that the list shows, in its order."""
    return [str(record) for record in response.context["cl"].result_list]


def listed(client, **query):
    response = client.get(URL, query)
    assert response.status_code == 200
    return names(response)


def table(response):
    return re.search(r'<table id="result_list".*?</table>', response.content.decode(), re.S)[0]
