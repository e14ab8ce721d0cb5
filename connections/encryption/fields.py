"""Sealed model fields: django-fernet-fields-v2, opened lazily and bound to record and field.

The package encrypts on the way into the database and decrypts on the way out. Here a value is
sealed when it is assigned and opened only by `Sealed.reveal()`, so that no list page, template or
traceback shows what nobody asked for. No other module imports the package.
"""

import base64
import dataclasses
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, IntegerField, Lookup, Model
from django.db.models.lookups import Exact, IsNull
from django.db.models.query_utils import DeferredAttribute
from fernet_fields import EncryptedTextField

from connections.encryption import keyring

RecordId = uuid.UUID | str
# Bytes of a token beside its plaintext, padded by 8 on average: version, time, IV, HMAC
# (https://github.com/fernet/spec).
TOKEN_OVERHEAD = 1 + 8 + 16 + 32 + 8


@dataclass(slots=True, repr=False, unsafe_hash=True)
class Sealed:
    """A stored value that is still closed. Nothing that shows it shows its content."""

    token: str
    field: str
    record: str | None = dataclasses.field(default=None, compare=False)
    is_json: bool = dataclasses.field(default=False, compare=False)

    def bound_to(self, record: RecordId) -> "Sealed":
        """The same value, for the record with this id (what `values()` returns is unbound)."""
        return Sealed(self.token, self.field, canonical_id(record), self.is_json)

    @property
    def binding(self) -> str:
        return f"{self.record}/{self.field}"

    def reveal(self) -> Any:
        """Open the value. Raises SealError if it does not open."""
        if self.record is None:
            raise keyring.SealError("This value is bound to no record; call bound_to(id) first.")
        try:
            text = keyring.unseal(self.token, self.binding)
            return json.loads(text) if self.is_json else text
        except ValueError:  # its `object` or `doc` is the secret: do not chain it
            raise keyring.SealError("What was sealed here is not what this field holds.") from None

    reveal.alters_data = True  # type: ignore[attr-defined]  # a template must never open it

    @property
    def sealed_at(self) -> datetime | None:
        """When it was sealed, read off the token alone (None if it is not a token)."""
        try:
            head = base64.urlsafe_b64decode(self.token[:12])
            return datetime.fromtimestamp(int.from_bytes(head[1:9], "big"), timezone.utc)
        except (ValueError, OverflowError, OSError, TypeError):
            return None

    @property
    def size(self) -> int:
        """About how many bytes it holds (within 15), read off the token alone."""
        return max(len(self.token) * 3 // 4 - TOKEN_OVERHEAD - len(f"{self.binding}\n"), 1)

    @property
    def is_canonical(self) -> bool:
        """Whether it is spelled as tokens are made; base64 decoders accept other spellings."""
        try:
            raw = base64.urlsafe_b64decode(self.token)
        except (TypeError, ValueError):
            return False
        return base64.urlsafe_b64encode(raw).decode() == self.token

    @property
    def is_authentic(self) -> bool:
        """Whether one of our keys made it. Opens nothing."""
        return keyring.key_id_for(self.token) is not None

    def __repr__(self) -> str:
        return f"<sealed {self.field}>"


def canonical_id(record: RecordId) -> str:
    """The one spelling of a record id that bindings use."""
    return str(record if isinstance(record, uuid.UUID) else uuid.UUID(str(record)))


class SealedAttribute(DeferredAttribute):
    """Seals what is assigned and binds what the database gave, so that no plaintext stays."""

    field: "SealedTextField"

    def __set__(self, instance: Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = self.field.seal_for(instance.pk, value)


class SealedExact(Exact):
    """Exists so that `filter(field=None)` means "is not set"."""

    def get_prep_lookup(self) -> None:
        if self.rhs is not None:
            raise FieldError(f"{self.lhs.field.name} is sealed: it can't be compared.")


class SealedTextField(EncryptedTextField):  # type: ignore[misc]  # the package has no types
    """Text, stored as a Fernet token in a text column. Values are read as `Sealed`."""

    descriptor_class = SealedAttribute
    _internal_type = "TextField"
    is_json = False

    @property
    def keys(self) -> None:
        raise NotImplementedError("Keys come from connections.encryption only.")

    fernet_keys = fernet = keys

    def encode(self, value: Any) -> str:
        """The text that is sealed for `value`. Raises SealError if it is not a text."""
        if not isinstance(value, str):
            raise keyring.SealError(f"{self.name} takes text, not {type(value).__name__}.")
        return value

    def seal_for(self, record: RecordId, value: Any) -> Any:
        """What the record with this id holds for `value`: None or a Sealed."""
        if value is None:
            return None
        record = canonical_id(record)
        if isinstance(value, Sealed):
            if value.field != self.name or value.record not in (None, record):
                raise keyring.SealError(f"{self.name}: a sealed value stays where it was sealed.")
            return value.bound_to(record)
        token = keyring.seal(self.encode(value), f"{record}/{self.name}")
        return Sealed(token, self.name, record, self.is_json)

    def from_db_value(
        self, value: str | None, expression: Any, connection: BaseDatabaseWrapper
    ) -> Sealed | None:
        return self.to_python(value)

    def to_python(self, value: Any) -> Sealed | None:
        """Deserialisers pass the token that `value_to_string` wrote."""
        if value is None or isinstance(value, Sealed):
            return value
        return Sealed(value, self.name, is_json=self.is_json)

    def value_to_string(self, obj: Model) -> str | None:
        value: Sealed | None = self.value_from_object(obj)
        return None if value is None else value.token

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Refuses plain values and expressions, which could copy a column."""
        if value is None:
            return None
        if not isinstance(value, Sealed) or value.record is None:
            raise FieldError(
                f"{self.name} is sealed: assign it on a record and save that, "
                "since a value is sealed for one record."
            )
        return value.token

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self.get_db_prep_value(value, connection)

    def get_lookup(self, lookup_name: str) -> "type[Lookup[Any]] | None":
        return {"isnull": IsNull, "exact": SealedExact}.get(lookup_name)

    def get_transform(self, lookup_name: str) -> None:
        raise FieldError(f"{self.name} is sealed: '{lookup_name}' can't look inside.")

    def formfield(self, **kwargs: Any) -> None:
        """Forms write sealed fields with inputs of their own; a model form shows none."""


_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class SealedJSONField(SealedTextField):
    """Any JSON value, sealed as its text."""

    is_json = True

    def encode(self, value: Any) -> str:
        try:
            return _encode_json(value)
        except (TypeError, ValueError):
            raise keyring.SealError(f"{self.name} takes JSON values only.") from None


class IsToken(Func):
    """Whether a sealed column holds what looks like a token (1 or 0; NULL if it is not set).

    That is: what every token begins with (version 0x80, and a time before 2106), the least length
    of one, and whole groups of base64.
    """

    arity = 1
    output_field = IntegerField()
    template = (
        "CASE WHEN %(expressions)s IS NULL THEN NULL "
        "WHEN substr(%(expressions)s, 1, 6) = 'gAAAAA' AND length(%(expressions)s) >= 100 "
        "AND mod(length(%(expressions)s), 4) = 0 THEN 1 ELSE 0 END"
    )
