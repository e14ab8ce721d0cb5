"""Who gets which answer from which page: every URL, by method and role.

A line of TABLE is a route as the resolver spells it (without `admin/`, those outside with `/` in
front; placeholders as <id>), a method or `both`, and the answer to each of ROLES: a status, or
`login` for a redirect to the login page. What belongs to a person is the superuser's, who has a
second step. Everybody has just proved presence; ASK_FOR_PRESENCE is what would ask for it
otherwise. POST is sent empty: it shows who is let in. Where only GET stands, POST is answered by
405, after the sign-in. A new page needs its lines here, and where it has an <id> the value for it
in `things()` of tests/support/crawl.py.
"""

import pytest
from django.db import transaction
from django.template.base import Template

from tests.support.crawl import ROLES, address, crawl, person, routes, things
from tests.support.thorough import is_thorough

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("crawl")]

METHODS = ("GET", "POST")
LOGIN_PAGES = ("/admin/login/", "/admin/account/login/")

# fmt: off
TABLE = """
# route                                   meth  anon  none  view  oper  cust audit super limit
/                                         both 302   302   302   302   302   302   302   302
import/                                   both login   403   403   200   200   403   200   200
import/history/                           GET  login   403   403   200   200   403   200   200
import/<id>/                              GET  login 403   403   404   404   403   200   404
import/<id>/                              POST login 403   403   404   404   403   302   404
import/<id>/progress/                     GET  login   403   403   404   404   403   404   404
import/<id>/report/                       GET  login 403   403   404   404   403   200   404
import/integrations/                      both login   403   403   200   200   403   200   403
export/                                   both login   403   200   200   200   200   200   200
views/                                    both login   403   200   200   200   200   200   200
changes/                                  GET  login   403   200   200   200   200   200   200
changes/<id>/                             GET  login 403   404   404   404   404   200   404
changes/<id>/                             POST login 403   404   404   404   404   302   404
changes/<id>/progress/                    GET  login 403   404   404   404   404   200   404
find-secret/                              both login   403   403   403   200   403   200   200
find-secret/shared/                       GET  login   403   403   403   200   403   200   200
connections/connectionauth/<id>/versions/ GET  login   403   200   200   200   200   200   404
connections/connectionauth/<id>/versions/ POST login   403   403   302   302   403   302   404
connections/connectionauth/<id>/reveal/<id>/ GET  login   403   403   403   200   403   200   404
connections/connectionauth/<id>/reveal/<id>/ POST login   403   403   403   302   403   302   404
audit/                                    GET  login   403   403   403   403   200   200   403
audit/export/                             GET  login   403   403   403   403   200   200   403
help/                                     GET  login 200   200   200   200   200   200   200
keys/                                     GET  login   403   403   403   200   200   200   200
bin/                                      GET  login   403   403   200   200   403   200   200
bin/<id>/restore/                         GET  login   405   405   405   405   405   405   405
bin/<id>/restore/                         POST login   403   403   302   302   403   302   404
bin/<id>/purge/                           GET  login   403   403   403   200   403   200   404
bin/<id>/purge/                           POST login   403   403   403   302   403   302   404
account/                                  both 302   302   302   302   302   302   302   302
account/login/                            both 200   302   302   302   302   302   302   302
account/logout/                           GET  login 200   200   200   200   200   200   200
account/logout/                           POST login login login login login login login login
account/inactive/                         GET  200   200   200   200   200   200   200   200
account/inactive/                         POST 405   405   405   405   405   405   405   405
account/reauthenticate/                   both login 200   200   200   200   200   200   200
account/password/                         both login 200   200   200   200   200   200   200
account/password/set/                     both 302   302   302   302   302   302   302   302
account/mfa/                              GET  login 200   200   200   200   200   200   200
account/mfa/authenticate/                 both login 302   302   302   302   302   302   302
account/mfa/reauthenticate/               both login 302   302   302   302   302   200   302
account/mfa/totp/activate/                both login 200   200   200   200   200   302   200
account/mfa/totp/deactivate/              GET  login 404   404   404   404   404   200   404
account/mfa/totp/deactivate/              POST login 404   404   404   404   404   302   404
account/mfa/recovery-codes/               GET  login 404   404   404   404   404   200   404
account/mfa/recovery-codes/generate/      GET  login 200   200   200   200   200   200   200
account/mfa/recovery-codes/generate/      POST login 200   200   200   200   200   302   200
account/mfa/recovery-codes/download/      GET  login 404   404   404   404   404   200   404
account/mfa/recovery-codes/download/      POST login 404   404   404   404   404   403   404
account/mfa/webauthn/                     GET  login 200   200   200   200   200   200   200
account/mfa/webauthn/add/                 both login 200   200   200   200   200   200   200
account/mfa/webauthn/reauthenticate/      GET  login 302   302   302   302   302   200   302
account/mfa/webauthn/reauthenticate/      POST login 302   302   302   302   302   login 302
account/mfa/webauthn/keys/<id>/remove/    GET  login 404   404   404   404   404   200   404
account/mfa/webauthn/keys/<id>/remove/    POST login 404   404   404   404   404   302   404
account/mfa/webauthn/keys/<id>/edit/      both login 404   404   404   404   404   200   404
account/mfa/webauthn/login/               both login 302   302   302   302   302   302   302
(index)                                   both login   200   200   200   200   200   200   200
login/                                    both login 302   302   302   302   302   302   302
logout/                                   both 302   307   307   307   307   307   307   307
password_change/                          both login 302   302   302   302   302   302   302
jsi18n/                                   GET  login   200   200   200   200   200   200   200
connections/integration/                  both login   403   200   200   200   200   200   200
connections/integration/add/              both login   403   403   200   200   403   200   403
connections/integration/<id>/history/     both login   403   200   200   200   200   200   200
connections/integration/<id>/delete/      both login   403   403   403   200   403   200   403
connections/integration/<id>/change/      GET  login   403   200   200   200   200   200   200
connections/integration/<id>/change/      POST login   403   403   302   302   403   302   403
connections/integration/<id>/             both login   302   302   302   302   302   302   302
auth/user/<id>/password/                  both login   403   403   403   403   403   200   403
auth/user/                                both login   403   403   403   403   403   200   403
auth/user/add/                            both login   403   403   403   403   403   200   403
auth/user/<id>/history/                   both login   403   403   403   403   403   200   403
auth/user/<id>/delete/                    both login   403   403   403   403   403   200   403
auth/user/<id>/change/                    both login   403   403   403   403   403   200   403
auth/user/<id>/                           both login   302   302   302   302   302   302   302
auth/group/                               both login   403   403   403   403   403   200   403
auth/group/add/                           both login   403   403   403   403   403   200   403
auth/group/<id>/history/                  both login   403   403   403   403   403   200   403
auth/group/<id>/delete/                   both login   403   403   403   403   403   200   403
auth/group/<id>/change/                   both login   403   403   403   403   403   200   403
auth/group/<id>/                          both login   302   302   302   302   302   302   302
connections/connectionauth/               both login   403   200   200   200   200   200   200
connections/connectionauth/add/           GET  login   403   403   200   200   403   200   200
connections/connectionauth/add/           POST login   403   403   302   302   403   302   200
connections/connectionauth/<id>/history/  both login   403   200   200   200   200   200   404
connections/connectionauth/<id>/delete/   both login   403   403   200   200   403   200   404
connections/connectionauth/<id>/change/   GET  login   403   200   200   200   200   200   404
connections/connectionauth/<id>/change/   POST login   403   403   200   200   403   200   404
connections/connectionauth/<id>/          both login   302   302   302   302   302   302   302
<app>/                                    both login   404   200   200   200   200   200   200
(?P<url>.*)$                              both login   404   404   404   404   404   404   404
"""
# fmt: on
# Routes that answer nobody who has not proved presence, whatever the method. An export that
# includes secrets asks as well.
ASK_FOR_PRESENCE = {
    "account/mfa/recovery-codes/generate/",
    "account/mfa/totp/activate/",
    "account/mfa/webauthn/add/",
    "account/mfa/webauthn/keys/<id>/edit/",
    "account/mfa/webauthn/keys/<id>/remove/",
    "bin/<id>/purge/",
    "connections/connectionauth/<id>/reveal/<id>/",
}


def rows():
    """`{(route, method): {role: answer}}`"""
    found = {}
    for line in TABLE.strip().splitlines()[1:]:
        route, method, *answers = line.split()
        for key in ((route, each) for each in (METHODS if method == "both" else [method])):
            assert key not in found, "A route stands there twice."
            found[key] = dict(zip(ROLES, answers, strict=True))
    only_get = dict.fromkeys(ROLES, "405") | {"anonymous": "login"}
    return {(route, "POST"): only_get for route, _ in found} | found


def answer(status, headers):
    """The status of a response, or `login`."""
    if status == 302 and headers["Location"].startswith(LOGIN_PAGES):
        return "login"
    return str(status)


@pytest.fixture
def no_pages(monkeypatch):
    """Where only the answer counts, no template is filled in."""
    monkeypatch.setattr(Template, "render", lambda *_: "")


def ask(client, method, url):
    """The response; what it changed is taken back."""
    with transaction.atomic():
        cookies = client.cookies.copy()
        response = client.generic(method, url)
        client.cookies = cookies
        transaction.set_rollback(True)
    return response


def test_every_url_stands_in_the_table():
    expected = {(route, method) for route in routes() for method in METHODS}
    assert {*rows()} == expected


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_the_answers_of_the_table(role):
    given = {
        (visit.route, "GET" if visit.body is None else "POST"): answer(visit.status, visit.headers)
        for visit in crawl(role).visits
        if not visit.body
    }
    assert given == {key: answers[role] for key, answers in rows().items()}


def test_what_asks_for_presence(no_pages):
    client, objects = person("superuser", is_present=False), things()
    given = {key: ask(client, key[1], address(key[0], objects)) for key in rows()}
    asked = {
        key
        for key, response in given.items()
        if response.headers.get("Location", "").startswith("/admin/account/reauthenticate/?")
    }
    assert asked == {(route, method) for route in ASK_FOR_PRESENCE for method in METHODS}


@pytest.mark.parametrize("role", ROLES if is_thorough() else ("anonymous", "nobody", "limited"))
def test_no_other_method_opens_what_get_and_post_do_not(no_pages, role):
    client, objects = person(role), things()
    for (route, method), answers in rows().items():
        if method == "GET" and answers[role] in ("login", "403", "404"):
            for other in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
                if other == "OPTIONS" and route.startswith("account/"):
                    continue  # allauth's views answer that with the names of methods, and no more
                response = ask(client, other, address(route, objects))
                given = answer(response.status_code, response.headers)
                assert given in ("login", "403", "404", "405"), (route, other)
