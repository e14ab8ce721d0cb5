"""A query may write a sealed column whole and ask whether it is set, and nothing else."""

import pytest
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat, Length, Lower

from connections.encryption.fields import SealedJSONField, SealedTextField
from connections.encryption.keyring import SealError
from connections.models import SEALED_COLUMNS, ConnectionAuth
from tests.support.helpers import SECRET
from tests.support.sealed_columns import load, raw, stored

pytestmark = pytest.mark.django_db


def test_bulk_create_keeps_values_and_bulk_update_is_refused():
    records = [ConnectionAuth(access_token=f"{SECRET}{n}", meta={"n": n}) for n in range(3)]
    ConnectionAuth.objects.bulk_create(records)
    records[0].access_token = "new"
    with pytest.raises(FieldError), transaction.atomic():
        ConnectionAuth.objects.bulk_update(records, ["access_token"])
    opened = [load(record).open_auth()[0] for record in records]
    assert [auth["access_token"] for auth in opened] == [f"{SECRET}{n}" for n in range(3)]
    assert [auth["meta"] for auth in opened] == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    "expression",
    [
        F("name"),
        F("token"),
        Value("plain"),
        Concat(F("token"), Value("x")),
        Lower("token"),
        Case(When(name="a", then=F("token")), default=Value(None)),
        Case(When(name="a", then=Value("plain"))),
    ],
)
def test_updates_by_an_expression_are_refused(expression):
    record = stored(name="a", access_token=SECRET, token="t")
    with pytest.raises(FieldError) as raised, transaction.atomic():
        ConnectionAuth.objects.update(access_token=expression)
    assert SECRET not in str(raised.value)
    assert load(record).access_token.reveal() == SECRET


def test_creating_with_an_expression_is_refused():
    for expression in (F("name"), Value("plain")):
        with pytest.raises((FieldError, SealError)), transaction.atomic():
            ConnectionAuth.objects.create(access_token=expression)


@pytest.mark.parametrize("value", ["plain", b"plain", {"a": 1}])
def test_updates_of_a_queryset_by_a_plain_value_are_refused(value):
    record = stored()
    for field in ("access_token", "meta"):
        with pytest.raises(FieldError) as raised, transaction.atomic():
            ConnectionAuth.objects.update(**{field: value})
        assert "plain" not in str(raised.value)
    assert load(record).access_token.reveal() == SECRET


def test_updates_of_a_queryset_to_null_are_fine():
    record = stored()
    ConnectionAuth.objects.update(access_token=None)
    assert load(record).access_token is None


LOOKUPS = [
    "contains", "icontains", "startswith", "istartswith", "endswith", "iexact", "regex", "iregex",
    "gt", "gte", "lt", "lte", "in", "range", "length", "length__gt", "lower", "date", "a", "a__b",
    "has_key", "nothing",
]  # fmt: skip


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("field", ["access_token", "meta", "emails"])
def test_lookups_and_transforms_are_refused(field, lookup):
    stored()
    with pytest.raises((FieldError, TypeError)):
        list(ConnectionAuth.objects.filter(**{f"{field}__{lookup}": "gA"}))


def test_comparing_with_a_value_is_refused():
    record = stored()
    for value in (SECRET, "", record.access_token, raw(record), F("token"), Value("x")):
        with pytest.raises(FieldError) as raised:
            list(ConnectionAuth.objects.filter(access_token=value))
        assert SECRET not in str(raised.value)
    for condition in ({"access_token__in": [SECRET]}, {"access_token__exact": SECRET}):
        with pytest.raises(FieldError):
            list(ConnectionAuth.objects.exclude(**condition))


def test_a_query_can_ask_whether_a_field_is_set():
    stored(access_token="a"), stored(token="")
    for condition in ({"access_token": None}, {"access_token__isnull": True}):
        assert ConnectionAuth.objects.filter(**condition).count() == 1
        assert ConnectionAuth.objects.exclude(**condition).count() == 1


def test_sealed_columns_are_text_and_no_form_field():
    for name in SEALED_COLUMNS:
        field = ConnectionAuth._meta.get_field(name)
        assert field.get_internal_type() == "TextField"
        assert isinstance(field, SealedTextField)
        assert field.formfield() is None
    assert isinstance(ConnectionAuth._meta.get_field("meta"), SealedJSONField)


def test_functions_over_a_sealed_column_see_only_the_token():
    record = stored()
    assert ConnectionAuth.objects.annotate(n=Length("access_token")).get().n == len(raw(record))
