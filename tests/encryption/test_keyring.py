"""Which keys are refused, and what a change of keys does."""

import base64

import pytest
from cryptography.fernet import Fernet

from connections.checks import check_keys
from connections.encryption import keyring
from connections.models import ConnectionAuth, StoredKey

KEY = keyring.generate_key()


def encoded(raw):
    return base64.urlsafe_b64encode(raw).decode()


BAD_KEYS = {
    "unset": (None, "is not set"),
    "an empty list": ([], "is not set"),
    "an empty text": ("", "is not set"),
    "an empty key": ([""], "is empty"),
    "none among them": ([None], "is empty"),
    "one text instead of a list": (KEY, "must be a list"),
    "not base64": (["not base64 at all!"], "not a key"),
    "not ASCII": (["é" * 44], "not a key"),
    "too short": ([encoded(bytes(range(16)))], "not a key"),
    "too long": ([encoded(bytes(range(33)))], "not a key"),
    "a blank beside it": ([KEY + " "], "not a key"),
    "the standard alphabet": (
        [encoded(b"\xff" * 2 + bytes(range(30))).replace("_", "/")],
        "not a key",
    ),
    "an encoded passphrase": ([encoded(b"correct horse battery staple 123")], "not a key"),
    "few different bytes": ([encoded(bytes([1, 2, 200, 255] * 8))], "not a key"),
    "a bad key behind a good one": ([KEY, "x"], "Key 2 in FERNET_KEYS"),
    "the same key twice": ([KEY, keyring.generate_key(), KEY], "twice"),
}


@pytest.mark.parametrize(("keys", "part"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_it_refuses_bad_keys_in_one_sentence_without_showing_them(settings, keys, part):
    settings.FERNET_KEYS = keys
    with pytest.raises(keyring.KeyringError, match=part) as refusal:
        keyring.require_keys()
    assert "\n" not in str(refusal.value)
    assert KEY not in str(refusal.value)


def test_it_refuses_a_key_that_equals_the_secret_key(settings):
    settings.SECRET_KEY = KEY
    settings.FERNET_KEYS = [KEY]
    with pytest.raises(keyring.KeyringError, match="equals SECRET_KEY"):
        keyring.require_keys()


def test_the_secret_key_is_never_a_fallback(settings):
    settings.SECRET_KEY = KEY
    del settings.FERNET_KEYS
    with pytest.raises(keyring.KeyringError, match="is not set"):
        keyring.seal("value", "record/field")


def test_a_missing_secret_key_is_refused_in_a_sentence(settings):
    settings.SECRET_KEY = ""
    with pytest.raises(keyring.KeyringError, match="SECRET_KEY is not set"):
        keyring.require_keys()


def test_generated_keys_are_good_and_different(db, settings):
    settings.FERNET_KEYS = [settings.FERNET_KEYS[0]]
    made = {keyring.generate_key() for _ in range(50)}
    assert len(made) == 50
    settings.FERNET_KEYS = [*made, *settings.FERNET_KEYS]
    keyring.require_keys()


def test_keys_that_did_not_seal_the_store_are_refused(db, settings):
    keyring.require_keys()
    settings.FERNET_KEYS = [keyring.generate_key()]
    with pytest.raises(keyring.KeyringError, match="None of the keys"):
        keyring.require_keys()
    with pytest.raises(keyring.KeyringError):
        ConnectionAuth(access_token="never stored")


def test_the_proof_is_stored_once_and_sealed(db, settings):
    StoredKey.objects.all().delete()
    keys = [keyring.generate_key(), keyring.generate_key()]
    for settings.FERNET_KEYS in (keys, keys[::-1]):
        keyring.require_keys()
    (proof,) = StoredKey.objects.all()
    assert proof.token.startswith("gAAAA")


def test_a_new_key_in_front_seals_and_the_old_one_still_opens(db, settings):
    old = settings.FERNET_KEYS[0]
    record = ConnectionAuth.objects.create(access_token="from before")
    settings.FERNET_KEYS = [KEY, old]
    stored = ConnectionAuth.objects.get(pk=record.pk)
    assert stored.access_token.reveal() == "from before"
    stored.refresh_token = "from after"
    assert Fernet(KEY).decrypt(stored.refresh_token.token)

    settings.FERNET_KEYS = [old]
    assert stored.access_token.reveal() == "from before"
    with pytest.raises(keyring.SealError):
        stored.refresh_token.reveal()
    settings.FERNET_KEYS = [KEY, old]
    assert stored.refresh_token.reveal() == "from after"


def test_a_change_of_keys_takes_effect_at_once(db, settings):
    record = ConnectionAuth(access_token="value")
    settings.FERNET_KEYS = []
    with pytest.raises(keyring.KeyringError):
        record.access_token.reveal()
    with pytest.raises(keyring.KeyringError):
        record.access_token = "other"


def test_a_token_opens_only_in_its_place(db):
    token = keyring.seal("value", "record/field")
    assert keyring.unseal(token, "record/field") == "value"
    for place in ("record/other", "other/field", "record/fiel", ""):
        with pytest.raises(keyring.SealError) as refusal:
            keyring.unseal(token, place)
        assert "value" not in str(refusal.value).replace("This value", "")


@pytest.mark.parametrize("token", ["", "gAAAA", "x" * 120, "é", None, 5])
def test_malformed_tokens_do_not_open(db, token):
    with pytest.raises(keyring.SealError):
        keyring.unseal(token, "record/field")
    assert keyring.key_id_for(token) is None


def test_the_system_check_says_what_is_wrong(settings, monkeypatch):
    monkeypatch.setattr("sys.argv", ["manage.py", "check"])
    settings.FERNET_KEYS = []
    (error,) = check_keys(None)
    assert error.id == "connections.E001"
    assert error.msg == "FERNET_KEYS is not set."
    assert "generate_key" in error.hint


@pytest.mark.parametrize(
    ("argv", "keyless"),
    [
        (["manage.py", "generate_key"], True),
        (["manage.py", "help", "migrate"], True),
        (["manage.py", "import_connections", "--help"], True),
        (["manage.py", "makemigrations", "--check"], True),
        (["manage.py", "migrate"], False),
        (["manage.py", "check"], False),
        (["manage.py", "runserver"], False),
        (["manage.py", "shell"], False),
    ],
)
def test_commands_that_run_without_keys(db, argv, keyless):
    assert keyring.may_run_without_keys(argv) is keyless


def test_the_first_migrate_runs_without_keys(db):
    StoredKey.objects.all().delete()
    assert keyring.may_run_without_keys(["manage.py", "migrate"])
