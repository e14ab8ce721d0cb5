"""What an edit or an import replaced is kept for a week, and can be put back from the record."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from connections.jobs import cleanup
from connections.jobs.chunks import store_upload
from connections.models import (
    AccessEvent,
    ConnectionAuth,
    FormerVersion,
    Integration,
    UserScope,
    former_version,
)
from tests.support.helpers import FULL_AUTH, SECRET, export_text, import_text, make, member_of
from tests.support.record_form import save, spoil

pytestmark = pytest.mark.django_db
NEW = "synth-SECRET-new-9d2e"


def full_record(**around):
    import_text([{"id": "c-1", "integrationType": "hubspot", "auth": FULL_AUTH, **around}])
    return ConnectionAuth.objects.get(connection_id="c-1")


def whole():
    return export_text(shape="connection")


def page(record, what="versions"):
    return reverse(f"admin:connections_connectionauth_{what}", args=[record.pk])


def put_back(client, record, number, version=None):
    held = FormerVersion.objects.get(record=record, version=number)
    record.refresh_from_db(fields=["version"])
    data = {"former_version": held.pk, "version": version or record.version}
    return client.post(page(record), data, follow=True)


def test_an_edit_keeps_what_it_replaces_sealed(operator):
    record = full_record()
    save(operator, record, access_token=NEW, app_id="app-2")
    held = FormerVersion.objects.get()
    assert (held.version, held.replaced_by.username, held.run) == (1, "Operator", None)
    assert held.fields == ["access_token", "app_id"]
    assert held.content.reveal()["auth"]["access_token"] == f"{SECRET}-access"
    (stored,) = FormerVersion.objects.values_list("content", flat=True)
    assert SECRET not in stored.token


def test_saving_what_is_not_different_keeps_nothing(operator):
    save(operator, full_record())
    assert not FormerVersion.objects.exists()


def test_putting_an_edit_back_restores_every_byte(operator):
    record = full_record(updated_at="2026-01-01T00:00:00Z", environment="Sandbox", x_new={"a": 1})
    before = whole()
    save(operator, record, access_token=NEW, name="Other", environment="", pem="x")
    assert whole() != before
    said = put_back(operator, record, 1).content.decode()
    assert whole() == before
    assert "Put back version 1" in said
    assert SECRET not in said
    assert NEW not in said


def test_an_import_keeps_what_it_replaces():
    full_record()
    import_text([{"id": "c-1", "auth": {**FULL_AUTH, "token": NEW, "appId": "2"}}])
    held = FormerVersion.objects.get()
    assert {"token", "app_id", "integration_id"} <= {*held.fields}
    assert held.content.reveal()["auth"]["token"] == f"{SECRET}-token"


@pytest.mark.parametrize("policy", ["update", "replace"])
def test_putting_an_import_back_restores_every_byte(operator, policy):
    record = full_record(x_new={"a": 1}, categories=["crm"], is_paused=True)
    before = whole()
    import_text(
        [{"id": "c-1", "auth": {"apiUrl": "https://api.example.com", "key": NEW}}],
        on_conflict=policy,
    )
    assert whole() != before
    put_back(operator, record, 1)
    assert whole() == before


def test_a_preview_keeps_nothing():
    full_record()
    import_text([{"id": "c-1", "auth": {"token": NEW}}], dry_run=True)
    assert not FormerVersion.objects.exists()


def test_putting_back_can_itself_be_undone(operator):
    record = full_record()
    save(operator, record, access_token=NEW)
    edited = whole()
    put_back(operator, record, 1)
    put_back(operator, record, 2)
    assert whole() == edited


def test_versions_before_and_after_changes_around_the_auth_object_come_back_whole(operator):
    record = full_record()
    states = [whole()]
    for change in ({"environment": "Sandbox"}, {"access_token": NEW}, {"environment": "Test"}):
        save(operator, record, **change)
        states.append(whole())
    for number in (3, 1, 2):
        put_back(operator, record, number)
        assert whole() == states[number - 1]


def test_the_derived_columns_follow(operator):
    record = make(name="A", token=SECRET, expiry_date=timezone.now() + timedelta(days=3))
    save(operator, record, expiry_date="2031-01-01T00:00:00Z")
    record.refresh_from_db()
    assert record.bucket() == "later"
    put_back(operator, record, 1)
    record.refresh_from_db()
    assert record.bucket() == "week"


def test_the_list_says_when_by_whom_and_which_fields(operator):
    record = full_record()
    run = store_upload(FakeSource(), User.objects.create_user("ada"))
    save(operator, record, access_token=NEW)
    import_text(
        [{"id": "c-1", "integrationType": "hubspot", "auth": {**FULL_AUTH, "appId": "2"}}],
        run_id=run.pk,
        user_id=run.user_id,
    )
    content = operator.get(page(record)).content.decode()
    first, second = content.split("<tbody>")[1].split("</tr>")[:2]
    assert "ada" in first and "Import of crm.json" in first
    assert "accessToken, appId" in first and "now" in first
    assert "Operator" in second and "<td>accessToken</td>" in second
    assert SECRET not in content
    assert NEW not in content


class FakeSource:
    name, size, sha256 = "crm.json", 2, "0"

    def chunks(self):
        return [b"[]"]


def test_listing_opens_nothing(operator, monkeypatch):
    record = full_record()
    save(operator, record, access_token=NEW)
    monkeypatch.setattr("connections.encryption.keyring.unseal", None)
    assert operator.get(page(record)).status_code == 200


def test_a_conflict_is_shown_and_nothing_is_put_back(operator):
    record = full_record()
    save(operator, record, access_token=NEW)
    edited = whole()
    said = put_back(operator, record, 1, version=1).content.decode()
    assert "changed by somebody else meanwhile" in said
    assert whole() == edited


def test_what_is_kept_of_another_record_is_not_put_back_here(operator):
    record, other = full_record(), make(name="Other", key=SECRET)
    save(operator, other, key=NEW)
    held = FormerVersion.objects.get(record=other)
    said = operator.post(page(record), {"former_version": held.pk, "version": 1}, follow=True)
    assert "not kept any more" in said.content.decode()
    other.refresh_from_db()
    assert other.key.reveal() == NEW


@pytest.mark.parametrize("group", ["Viewer", "Auditor"])
def test_who_may_not_change_may_look_and_puts_nothing_back(operator, group):
    record = full_record()
    save(operator, record, access_token=NEW)
    client, edited = member_of(group), whole()
    assert "Put back" not in client.get(page(record)).content.decode()
    assert put_back(client, record, 1).status_code == 403
    assert whole() == edited


def test_a_value_that_does_not_open_comes_back_closed(operator):
    record, foreign = make(name="A", key=SECRET), make(name="B", key=SECRET).key.token
    spoil(record, "key", token=foreign)
    record.refresh_from_db()
    save(operator, record, key=NEW)
    put_back(operator, record, 1)
    record.refresh_from_db()
    assert record.key.token == foreign
    assert record.unreadable_fields == ["key"]


def test_an_integration_that_is_gone_is_made_again(operator):
    record = full_record()
    save(operator, record, integration="")
    Integration.objects.all().delete()
    put_back(operator, record, 1)
    assert ConnectionAuth.objects.get().integration_id == "hubspot"


def test_content_that_another_record_holds_by_now_is_not_doubled(operator):
    record = make(name="A", key=SECRET)
    save(operator, record, key=NEW)
    make(name="A", key=SECRET)
    said = put_back(operator, record, 1).content.decode()
    assert "holds exactly that" in said
    record.refresh_from_db()
    assert record.key.reveal() == NEW


@pytest.mark.parametrize(
    ("moved", "limits"),
    [
        ({"environment": "Ours"}, {"environments": ["Ours"]}),
        ({"integration_type": "xero"}, {"integrations": ["xero"]}),
    ],
)
def test_a_version_outside_the_scope_of_who_asks_is_not_put_back(operator, moved, limits):
    record = full_record(environment="Theirs")
    import_text([{"id": "c-1", **moved, "auth": {**FULL_AUTH, "token": NEW}}])
    UserScope.objects.create(user=User.objects.get(username="Operator"), **limits)
    before = whole()
    said = put_back(operator, record, 1).content.decode()
    assert "that you may not reach. Nothing is put back." in said
    assert whole() == before
    assert not AccessEvent.objects.filter(action="undo").exists()
    import_text([{"id": "c-1", **moved, "auth": {**FULL_AUTH, "token": f"{NEW}-2"}}])
    put_back(operator, record, 2)
    assert ConnectionAuth.objects.get().token.reveal() == NEW


def test_after_a_week_it_is_forgotten(operator):
    record = full_record()
    save(operator, record, access_token=NEW)
    FormerVersion.objects.update(replaced_at=timezone.now() - FormerVersion.RETENTION)
    assert not former_version.former_versions_of(record)
    assert "not kept any more" in put_back(operator, record, 1).content.decode()
    assert ConnectionAuth.objects.get().access_token.reveal() == NEW
    cleanup.delete_expired()
    assert not FormerVersion.objects.exists()


def test_it_is_in_the_audit_log_and_in_the_history(operator):
    record = full_record()
    save(operator, record, access_token=NEW)
    put_back(operator, record, 1)
    event = AccessEvent.objects.get(action="undo")
    assert (event.fields, event.user) == (["access_token"], "Operator")
    assert event.record_id == str(record.pk)
    history = operator.get(page(record, "history")).content.decode()
    assert history.count("accessToken") == 2


def test_the_next_import_does_not_take_over_what_a_person_put_back(operator):
    record = full_record(updated_at="2026-01-01T00:00:00Z")
    save(operator, record, access_token=NEW)
    put_back(operator, record, 1)
    result, verdicts = import_text(
        [{"id": "c-1", "updated_at": "2026-02-01T00:00:00Z", "auth": {"token": NEW}}]
    )
    assert result.rejected == 1
    assert [issue.code for issue in verdicts[0].issues] == ["older"]
    assert former_version.former_versions_of(record)
