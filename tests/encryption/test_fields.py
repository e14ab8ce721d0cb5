"""Sealed fields: saving opens nothing, nothing is shown, and nothing opens in another place."""

import copy
import json
import pickle
import uuid

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection as database
from django.template import Context, Template

from connections.encryption.fields import Sealed
from connections.encryption.keyring import SealError
from connections.json_format import schema
from connections.models import SEALED_COLUMNS, ConnectionAuth
from tests.support.helpers import FULL_AUTH, SECRET, import_text
from tests.support.sealed_columns import TABLE, load, raw, stored, write_raw

pytestmark = pytest.mark.django_db
KEY = settings.FERNET_KEYS[0]


# What is sealed


def test_sealed_fields_and_unknown_keys_are_sealed_columns():
    assert set(SEALED_COLUMNS) == {*schema.SEALED_FIELDS, "extra"}


def test_the_database_holds_no_sealed_value_in_clear():
    import_text([{"id": "c", "auth": {**FULL_AUTH, "newKey": SECRET}}])
    with database.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TABLE}")
        row = str(cursor.fetchall())
    assert "SECRET" not in row and "ada@example.com" not in row
    assert "newKey" not in row


def test_no_plaintext_stays_on_a_record_after_assignment():
    record = ConnectionAuth(access_token=SECRET, meta={"a": SECRET})
    record.key = SECRET
    assert SECRET not in str(vars(record))
    assert isinstance(record.key, Sealed)
    assert record.meta.reveal() == {"a": SECRET}


def test_loading_listing_and_counting_open_nothing(nothing_opens):
    record = stored(access_token=SECRET, meta={"a": 1})
    nothing_opens()
    for loaded in ConnectionAuth.objects.all():
        str(loaded), repr(loaded), repr(vars(loaded))
    list(ConnectionAuth.objects.values())
    list(ConnectionAuth.objects.defer_sealed())
    record.refresh_from_db()
    copy.deepcopy(record), pickle.loads(pickle.dumps(record))
    load(record).delete()


# Representations


@pytest.mark.parametrize("field", ["access_token", "meta"])
def test_no_representation_of_a_sealed_value_shows_its_content(field, nothing_opens):
    record = load(stored(**{field: SECRET if field == "access_token" else {"a": SECRET}}))
    sealed = getattr(record, field)
    nothing_opens()
    shown = [str(sealed), repr(sealed), f"{sealed}", f"{sealed!r:>40}", "%s" % sealed, [sealed]]  # noqa: UP031
    shown.append(Template("{{ s }}{{ s.reveal }}{{ s|default:1 }}").render(Context({"s": sealed})))
    shown.append(pickle.dumps(sealed))
    shown.append(copy.deepcopy(sealed))
    shown.append(pickle.loads(pickle.dumps(sealed)))
    shown.append(serializers.serialize("json", [record]))
    assert SECRET not in str(shown)
    for encoder in (json.JSONEncoder, DjangoJSONEncoder):
        with pytest.raises(TypeError) as raised:
            json.dumps({"a": sealed}, cls=encoder)
        assert SECRET not in str(raised.value)


def test_copies_open_like_the_original():
    sealed = load(stored()).access_token
    for twin in (copy.copy(sealed), copy.deepcopy(sealed), pickle.loads(pickle.dumps(sealed))):
        assert twin == sealed and hash(twin) == hash(sealed)
        assert twin.reveal() == SECRET
    assert sealed != SECRET


def test_dumpdata_and_loaddata_move_values_sealed():
    record = stored(access_token=SECRET, meta={"a": [1]})
    text = serializers.serialize("json", [record])
    ConnectionAuth.all_objects.all().delete()
    [loaded] = serializers.deserialize("json", text)
    loaded.save()
    assert load(record).access_token.reveal() == SECRET
    assert load(record).meta.reveal() == {"a": [1]}


# Values


@pytest.mark.parametrize(
    "value", ["", " a\r\nb \n", "ü漢😀\u2028", "x" * 200_000, "a\nb", "\x01\x7f\ufeff"]
)
def test_texts_come_back_exactly(value):
    assert load(stored(pem=value)).pem.reveal() == value


@pytest.mark.parametrize("value", [{}, [], {"a": [1, 1.5, None, True, {"ü": ""}]}, ["\r\n"]])
def test_json_values_come_back_exactly(value):
    assert load(stored(meta=value)).meta.reveal() == value


def test_none_is_null_and_blank_is_not():
    record = load(stored(access_token=None, token=""))
    assert record.access_token is None
    assert record.token.reveal() == ""


@pytest.mark.parametrize("value", [b"bytes", 5, 1.5, True, ["a"], {"a": 1}, object()])
def test_only_texts_are_accepted(value):
    with pytest.raises(SealError) as raised:
        ConnectionAuth(access_token=value)
    assert str(raised.value) != "bytes"


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, float("nan"), {"a": float("inf")}])
def test_only_json_values_are_accepted(value):
    with pytest.raises(SealError):
        ConnectionAuth(meta=value)


def test_lone_surrogates_are_refused_in_an_error_without_the_value():
    for assign in ({"access_token": f"{SECRET}\ud800"}, {"meta": {"a": f"{SECRET}\ud800"}}):
        with pytest.raises(SealError) as raised:
            ConnectionAuth(**assign)
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None and raised.value.__suppress_context__


# Binding


def test_a_token_copied_to_another_row_does_not_open_there():
    one, two = stored(), stored(access_token="other")
    moved = write_raw(two, raw(one))
    with pytest.raises(SealError):
        moved.access_token.reveal()
    assert load(one).access_token.reveal() == SECRET


def test_a_token_copied_to_another_field_does_not_open_there():
    record = stored(access_token=SECRET, token="t")
    moved = write_raw(record, raw(record), "token")
    with pytest.raises(SealError):
        moved.token.reveal()
    assert moved.access_token.reveal() == SECRET


def test_a_sealed_value_cannot_be_assigned_elsewhere():
    one, two = load(stored()), load(stored(access_token="other"))
    for record, field in [(two, "access_token"), (one, "token"), (two, "token")]:
        with pytest.raises(SealError):
            setattr(record, field, one.access_token)
    one.access_token = load(one).access_token  # its own place
    assert one.access_token.reveal() == SECRET


def test_the_spelling_of_an_id_does_not_matter():
    number = uuid.uuid4()
    for spelling in (str(number), number.hex, str(number).upper(), number):
        record = ConnectionAuth(id=spelling, access_token=SECRET)
        assert record.access_token.reveal() == SECRET
        assert record.access_token.binding == f"{number}/access_token"


def test_results_of_values_are_unbound_until_bound_to():
    record = stored()
    sealed = ConnectionAuth.objects.values_list("access_token", flat=True).get()
    with pytest.raises(SealError):
        sealed.reveal()
    assert sealed.bound_to(record.pk).reveal() == SECRET
    with pytest.raises(SealError):
        sealed.bound_to(uuid.uuid4()).reveal()


# Values that do not open


@pytest.mark.parametrize("field", ["access_token", "meta"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda token: token[:-10],
        lambda token: token[:40] + ("A" if token[40] != "A" else "B") + token[41:],
        lambda token: "",
        lambda token: "not a token, ü",
        lambda token: Fernet(Fernet.generate_key()).encrypt(b"x\ny").decode(),
        lambda token: Fernet(KEY).encrypt(b"without a binding").decode(),
        lambda token: Fernet(KEY).encrypt(b"\xff\n\xff").decode(),
    ],
)
def test_a_damaged_value_fails_only_when_it_is_revealed(field, damage):
    good = stored(access_token=SECRET, meta={"a": 1})
    record = write_raw(good, damage(raw(good, field)), field)
    str(record), repr(getattr(record, field)), record.size if hasattr(record, "size") else None
    with pytest.raises(SealError) as raised:
        getattr(record, field).reveal()
    assert SECRET not in str(raised.value)
    auth, unreadable = record.open_auth()
    assert unreadable == [field]
    assert len(auth) == 2
    record.name = "still editable"
    record.save_version(["name"])
    assert load(record).unreadable_fields == [field]
    assert load(record).content_digest is None
    load(record).delete()
    assert not ConnectionAuth.all_objects.filter(pk=record.pk).exists()


@pytest.mark.parametrize("inside", [b"no json", b"", b"\xff"])
def test_sealed_bytes_that_are_not_json_raise_a_seal_error(inside):
    record = stored(meta={"a": 1})
    token = Fernet(KEY).encrypt(f"{record.pk}/meta\n".encode() + inside).decode()
    with pytest.raises(SealError):
        write_raw(record, token, "meta").meta.reveal()


# Standard Fernet


def test_any_fernet_library_opens_a_value():
    record = stored(access_token=SECRET, meta={"ü": 1})
    text = Fernet(KEY).decrypt(raw(record)).decode()
    assert text == f"{record.pk}/access_token\n{SECRET}"
    assert Fernet(KEY).decrypt(raw(record, "meta")).decode() == f'{record.pk}/meta\n{{"ü":1}}'
    assert settings.FERNET_USE_HKDF is False


def test_keys_of_the_package_are_never_used():
    field = ConnectionAuth._meta.get_field("access_token")
    for name in ("keys", "fernet_keys", "fernet"):
        with pytest.raises(NotImplementedError):
            getattr(field, name)


# What a token shows without being opened


def test_age_size_and_origin_are_known_without_opening(nothing_opens):
    sealed = load(stored(access_token="x" * 1000)).access_token
    nothing_opens()
    assert abs(sealed.size - 1000) <= 16
    assert sealed.is_authentic
    assert sealed.sealed_at.year >= 2026
    assert not Sealed("rubbish", "access_token").is_authentic
