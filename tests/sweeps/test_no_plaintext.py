"""Secrets that are recognisable, planted in every way in, and looked for everywhere after.

A real installation: its database file and journal, its temporary folder, its logs, every page.
"""

import http.cookiejar
import json
import re
import time
import urllib.parse
import urllib.request
import uuid

import pytest

from tests.support.helpers import FULL_AUTH, SECRET
from tests.support.installation import SERVE, Installation, free_port
from tests.support.leaks import leaks, needles

VERSION = re.compile(r'name="version" value="(\d+)"')
LISTED = "/admin/connections/connectionauth/"
SPELT = needles(SECRET)


class Browser:
    """A cookie jar and forms, over HTTP; remembers everything that it was shown."""

    def __init__(self, base):
        self.base, self.seen = base, []
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def open(self, path, data=None, content_type=None):
        request = urllib.request.Request(urllib.parse.urljoin(self.base, path), data)
        request.add_header("Referer", self.base)
        if content_type:
            request.add_header("Content-Type", content_type)
        with self.opener.open(request, timeout=60) as response:
            self.url, self.headers = response.url, str(response.headers)
            self.text = response.read().decode()
        self.seen.append(self.headers + self.text)
        return self.text

    def submit(self, path, **fields):
        """POST a form with the token of the page that was opened last."""
        return self.open(path, urllib.parse.urlencode({**self.token(), **fields}).encode())

    def upload(self, path, name, content):
        boundary = uuid.uuid4().hex
        token = self.token()["csrfmiddlewaretoken"]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n'
            f"{token}\r\n--{boundary}\r\nContent-Disposition: form-data; "
            f'name="file"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return self.open(path, body, f"multipart/form-data; boundary={boundary}")

    def token(self):
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.text)
        return {"csrfmiddlewaretoken": found[1]}


@pytest.fixture(scope="module")
def installation(installed, tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("plain") / "copy", like=installed)


def big_file():
    """Over 2.5 MB, where Django would put an upload on disk; good, bad and odd records."""
    entries = [
        {"id": f"c{n}", "integration_type": "xero", "auth": {**FULL_AUTH, "userId": str(n)}}
        for n in range(1500)
    ]
    entries += [
        {"accessToken": 5, "refreshToken": SECRET},
        {"accessToken": f"{SECRET}\ud800"},
        {"id": "c1", "integration_type": "xero", "auth": {"token": SECRET}},
        {"name": "odd", "token": f" {SECRET}\n", "unknownKey": {"inner": SECRET}},
        {
            "name": "bad",
            "token": SECRET,
            "expiryDate": SECRET,
            "emails": SECRET,
            "expiresIn": SECRET,
        },
    ]
    return json.dumps(entries).encode()


def test_no_plaintext_anywhere(installation, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    log = tmp_path / "server.log"
    file = tmp_path / "import.json"
    file.write_bytes(big_file())

    said = installation.run(
        "manage.py",
        "import_connections",
        str(file),
        "--report",
        str(tmp_path / "report"),
        "--json",
        TMPDIR=str(temporary),
    )
    assert said.returncode == 1, said.stderr
    truncated = tmp_path / "cut.json"
    truncated.write_bytes(big_file()[:-20])
    cut = installation.run("manage.py", "import_connections", str(truncated))
    assert cut.returncode == 2
    outputs = [said.stdout, said.stderr, (tmp_path / "report").read_text(), cut.stdout, cut.stderr]

    port = free_port()
    server = installation.start(
        *SERVE,
        PORT=port,
        TMPDIR=str(temporary),
        GUNICORN_CMD_ARGS=f"--log-level debug --log-file {log} --access-logfile {log}",
    )
    try:
        server.stdout.readline()
        browser = Browser(f"http://localhost:{port}")
        walk(browser, installation.password, temporary)
    finally:
        server.terminate()
        outputs += server.communicate(timeout=30)

    outputs += browser.seen
    for output in outputs:
        assert leaks(output, SPELT) == [], output[:1000]
    places = [*installation.path.rglob("*"), *temporary.rglob("*"), log]
    searched = [path for path in places if path.is_file()]
    assert installation.path / "db.sqlite3" in searched
    assert log in searched
    for path in searched:
        assert leaks(path.read_bytes(), SPELT) == [], path


def walk(browser, password, temporary):
    """Every page that has to do with secrets, good and bad input."""
    browser.open("/admin/login/")
    browser.submit("/admin/account/login/?next=/admin/", login="admin", password=password)
    assert "/admin/" in browser.url
    browser.open("/admin/import/")
    browser.upload("/admin/import/", "upload.json", big_file())
    assert "Check before it is stored" in browser.text
    assert "same_id_twice" in browser.text
    assert not list(temporary.iterdir())  # the spool has no name
    run = browser.url
    browser.open(f"{run}report/")
    browser.open(run)
    browser.submit(run, on_conflict="replace")
    deadline = time.monotonic() + 60
    while "Imported" not in browser.text and time.monotonic() < deadline:
        browser.open(f"{run}progress/")
        time.sleep(0.05)
        browser.open(run)
    assert "Imported" in browser.text
    browser.open("/admin/import/history/")
    assert "upload.json" in browser.text
    browser.open("/admin/import/")
    browser.submit("/admin/import/", text=f'{{"accessToken": "{SECRET}", "name": }}')
    assert "refused as a whole" in browser.text

    browser.open(LISTED)
    record = LISTED + re.search(r'href="([0-9a-f-]{36}/change/)[^"]*"', browser.text)[1]
    browser.open(record)
    bad = {"access_token": SECRET, "expiry_date": "nonsense", "meta": f"{SECRET} {{"}
    browser.submit(record, **bad, version=VERSION.search(browser.text)[1])
    assert "There is no such date" in browser.text
    version = VERSION.search(browser.text)[1]
    browser.submit(record, access_token=SECRET, version=version, name="Renamed", _save="1")
    assert "Renamed" in browser.text
    for page in ("history", "delete"):
        browser.open(record.replace("/change/", f"/{page}/"))
    browser.open("/admin/export/")
    for secrets in ("mask", "omit"):
        browser.submit(
            "/admin/export/", shape="connection", naming="camel", format="json", secrets=secrets
        )
        assert "Renamed" in browser.text
        browser.open("/admin/export/")
    browser.open("/admin/find-secret/")
    browser.submit("/admin/find-secret/", secret=SECRET, former="on")
    assert "Found in " in browser.text
    browser.open("/admin/find-secret/shared/")
    assert "in several connections" in browser.text
    browser.open("/admin/")
