"""Headers and cookies of a real server behind a proxy with HTTPS, on pages, errors and files."""

import http.client
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

from tests.support.installation import SERVE, Installation, free_port

LOGIN = "/admin/account/login/"
EVERYWHERE = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Proxy:
    """Passes requests of one person on, as a proxy that speaks HTTPS; remembers the answers."""

    def __init__(self, port):
        self.port, self.cookies, self.seen = port, {}, []

    def ask(self, path, data=None, host="latchkey.example.com", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers |= {"Host": host, "X-Forwarded-Proto": "https", "Origin": f"https://{host}"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(data)
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        answer.path, answer.text = path, answer.read().decode()
        connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(line).items():
                self.cookies[name] = cookie.value
        self.seen.append(answer)
        return answer

    def submit(self, path, **fields):
        """POST with the token of the page that was opened last."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.seen[-1].text)[1]
        return self.ask(path, {"csrfmiddlewaretoken": token, **fields})


@pytest.fixture(scope="module")
def visit(installed, tmp_path_factory):
    """What the server answered to who signs in, looks around, errs and leaves; and its log."""
    installation = Installation(tmp_path_factory.mktemp("headers") / "copy", like=installed)
    port = free_port()
    served = {"HTTPS": "on", "ALLOWED_HOSTS": "latchkey.example.com"}
    server = installation.start(*SERVE, PORT=port, TRUSTED_PROXIES="127.0.0.1", **served)
    try:
        assert server.stdout.readline()
        proxy = Proxy(port)
        assert proxy.ask("/").status == 302
        assert proxy.ask("/admin/").status == 302
        login = proxy.ask(LOGIN)
        assert login.status == 200
        assert proxy.submit(LOGIN, login="admin", password="wrong").status == 200
        proxy.ask(LOGIN)
        assert proxy.submit(LOGIN, login="admin", password=installation.password).status == 302
        for path in (
            "/admin/",
            "/admin/connections/connectionauth/",
            "/admin/connections/connectionauth/add/",
            "/admin/find-secret/",
            "/admin/audit/",
            "/admin/audit/export/",
        ):
            assert proxy.ask(path).status == 200, path
        assert proxy.ask("/admin/", host="evil.example").status == 400
        assert proxy.ask(LOGIN, {"login": "admin"}).status == 403
        assert proxy.ask("/admin/no/such/page/").status == 404
        assert proxy.ask("/no/such/page/").status == 404
        assert proxy.ask(re.search(r'"(/static/\S+\.css)"', login.text)[1]).status == 200
        assert proxy.ask("/static/none.css").status == 404
        proxy.ask("/admin/")
        assert proxy.submit("/admin/audit/").status == 405
        proxy.ask("/admin/")
        assert proxy.submit("/admin/account/logout/").status == 302
    finally:
        server.terminate()
        log = server.communicate(timeout=30)[1]
    return proxy.seen, log


@pytest.fixture
def answers(visit):
    return visit[0]


def test_every_answer_has_the_headers(answers):
    for answer in answers:
        place = (answer.path, answer.status)
        given = {name: answer.headers[name] for name in EVERYWHERE}
        assert given == EVERYWHERE, place
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], place
        assert "Content-Security-Policy-Report-Only" not in answer.headers, place
        if answer.path.startswith("/admin/"):
            assert answer.headers["Cache-Control"] == "no-store", place
        assert "Server" not in answer.headers or "gunicorn/" not in answer.headers["Server"]


def test_every_cookie_is_for_this_server_over_https_and_not_for_scripts(answers):
    names = set()
    for answer in answers:
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(line).items():
                if not cookie.value:  # it is taken away
                    continue
                names.add(name)
                assert cookie["secure"], (answer.path, name)
                assert cookie["httponly"], (answer.path, name)
                assert cookie["samesite"] == "Lax", (answer.path, name)
                assert not cookie["domain"], (answer.path, name)
    assert {"sessionid", "csrftoken"} <= names


def test_what_is_refused_is_a_line_of_the_log_with_its_time_and_no_traceback(visit):
    lines = visit[1].splitlines()
    (said,) = [line for line in lines if "Invalid HTTP_HOST header: 'evil.example'" in line]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR django\.security\.", said)
    assert not any(line.startswith(("Traceback", "  File")) for line in lines), visit[1]
