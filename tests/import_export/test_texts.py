"""Which texts and addresses an import keeps, which with a warning, and which it refuses."""

import pytest

from tests.support.helpers import SECRET
from tests.support.verdicts import refused, stored, warned

pytestmark = pytest.mark.django_db
KIB = 1024


@pytest.mark.parametrize("bad", ["\ud800", "\udc00\ud800", "\0", "\ude00"])
@pytest.mark.parametrize(
    ("frame", "path"),
    [
        (lambda t: {"accessToken": t}, "accessToken"),
        (lambda t: {"token": "a", "name": t}, "name"),
        (lambda t: {"token": "a", "clientId": t}, "clientId"),
        (lambda t: {"token": "a", "apiUrl": f"https://{t}"}, "apiUrl"),
        (lambda t: {"emails": ["a@b.c", t]}, "emails[1]"),
        (lambda t: {"meta": {"a": [1, {"b": t}]}}, "meta"),
        (lambda t: {"meta": {"a": {t: 1}}}, "meta"),
        (lambda t: {"token": "a", "more": [t]}, "more"),
        (lambda t: {"token": "a", "more": {t: 1}}, "more"),
        (lambda t: {"auth": {"pem": t}}, "auth.pem"),
        (lambda t: {"integration_type": t}, "integration_type"),
        (lambda t: {"integration_type": "a", "categories": [t]}, "categories[0]"),
    ],
)
def test_half_surrogates_and_u0000_are_refused_wherever_they_are(bad, frame, path):
    assert refused(frame(f"{SECRET}{bad}")) == [("bad_text", path)]


@pytest.mark.parametrize("bad", ["\ud800", "\0"])
def test_half_surrogates_and_u0000_in_a_key_are_refused_and_shown_escaped(bad):
    assert refused({"token": "a", f"x{bad}y": 1}) == [("bad_text", f"x\\u{ord(bad):04x}y")]


def test_pairs_of_surrogates_are_a_character():
    assert warned(r'{"token":"\ud83d\ude00"}') == []
    assert stored() == {"token": "\U0001f600"}


def test_numbers_of_no_use_inside_meta_are_refused():
    assert refused('{"meta":{"a":[1e400]}}') == [("bad_number", "meta")]
    assert refused('{"token":"a","more":-1e400}') == [("bad_number", "more")]
    assert refused('{"meta":{"a":' + "9" * 5000 + "}}") == [("bad_number", "meta")]


def test_big_whole_numbers_inside_meta_are_kept():
    number = 10**300 + 1
    assert warned(f'{{"meta":{{"a":{number}}}}}') == []
    assert stored()["meta"]["a"] == number


@pytest.mark.parametrize("name", ["accessToken", "clientId", "pem", "state", "apiUrl"])
def test_a_text_may_have_128_kib(name):
    start = "https://a.example/" if name == "apiUrl" else ""
    fits = start + "x" * (128 * KIB - len(start))
    assert [code for code, _ in warned({name: fits})] in ([], ["pem_without_end"])
    assert stored()[name] == fits
    assert refused({name: fits + "x"}) == [("too_long", name)]
    assert refused({name: start + "ü" * (64 * KIB + 1)}) == [("too_long", name)]


def test_the_texts_inside_others_may_have_128_kib_too():
    text = "ü" * (64 * KIB)
    assert warned({"emails": ["a@" + text[2:]], "meta": {text: [text]}, "x": text}) == [
        ("unknown_key", "x")
    ]
    for entry, path in [
        ({"otherAuthInfo": [text + "x"]}, "otherAuthInfo[0]"),
        ({"meta": {"a": [text + "x"]}}, "meta"),
        ({"meta": {text + "x": 1}}, "meta"),
        ({"token": "a", "x": {"y": text + "x"}}, "x"),
    ]:
        assert refused(entry) == [("too_long", path)]


@pytest.mark.parametrize("name", ["name", "id", "environment", "integration_type", "externalXref"])
def test_what_is_listed_may_have_255_characters(name):
    def entry(value):
        if name == "name":
            return {"name": value}
        return {"integration_type": "hubspot", name: value}

    assert warned(entry("漢" * 255)) == []
    assert refused(entry("x" * 256)) == [("too_long", name)]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "{{ 7*7 }}{% debug %}",
        '=HYPERLINK("http://x")',
        "a\x1b[31mred\x07\u202e\x7f",
        "'; DROP TABLE connections_connectionauth; --",
        "${jndi:ldap://x}",
        "\ufeffBOM",
    ],
)
def test_text_is_text(text):
    assert warned({"name": text, "clientId": text, "state": text, "meta": {text: text}}) == []
    assert stored() == {"clientId": text, "meta": {text: text}, "name": text, "state": text}


URLS = ["apiUrl", "authorize_url", "refreshUrl", "tokenUrl"]


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ldap://a.example",
        "mailto:a@b.example",
        "javascript:{x}",
        "https://[::1",
        "https:///path",
        "https:a.example",
        "http://",
        f"https://evil.example\\@good.example/{SECRET}",
    ],
)
def test_other_schemes_and_broken_addresses_are_refused(name, url):
    assert refused({name: url}) == [("bad_url", name)]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://user:pass@a.example/", "url_with_user"),
        ("https://user@a.example/", "url_with_user"),
        ("https://localhost/x", "url_private_host"),
        ("http://127.0.0.1:8000", "url_private_host"),
        ("http://10.1.2.3", "url_private_host"),
        ("http://192.168.0.1", "url_private_host"),
        ("http://172.16.0.1", "url_private_host"),
        ("http://169.254.169.254/latest", "url_private_host"),
        ("http://[::1]:80/", "url_private_host"),
        ("http://[fd00::1]/", "url_private_host"),
        ("http://[::ffff:10.0.0.1]/", "url_private_host"),
        ("http://127.1/", "url_private_host"),
        ("http://0x7f000001/", "url_private_host"),
        ("http://2130706433/", "url_private_host"),
        ("http://intranet/", "url_private_host"),
        ("https://nas.local./", "url_private_host"),
        ("https://{tenant}.example.com/", "url_template"),
        ("https://${TENANT}.example.com/", "url_template"),
        ("{{ base_url }}/token", "url_template"),
        ("https://<tenant>.example.com/", "url_template"),
        ("https://<host>/", "url_template"),
        ("a.example/token", "url_without_scheme"),
        ("a.example:8443/token", "url_without_scheme"),
        ("/token", "url_without_scheme"),
    ],
)
def test_odd_addresses_are_kept_with_a_warning(url, code):
    assert warned({"tokenUrl": url}) == [(code, "tokenUrl")]
    assert stored() == {"tokenUrl": url}


def test_all_that_is_odd_about_an_address_is_said():
    assert warned({"apiUrl": "https://user:pass@10.0.0.1/{tenant}"}) == [
        ("url_template", "apiUrl"),
        ("url_with_user", "apiUrl"),
        ("url_private_host", "apiUrl"),
    ]


@pytest.mark.parametrize(
    "url", ["https://a.example", "HTTP://A.EXAMPLE:8080/x?y=z#w", "https://münchen.example/", ""]
)
def test_good_addresses_are_kept_as_they_are(url):
    assert warned({"apiUrl": url}) == []
    assert stored() == {"apiUrl": url}
