"""Sealed model fields: django-fernet-fields-v2, opened lazily and bound to record and field.

The package encrypts on the way into the database and decrypts on the way out. Here a value is
sealed when it is assigned and opened only by `Sealed.reveal()`, so that a list page, a template
or a traceback can't show what nobody asked for. Nothing else in the project touches the package.
"""

import json
import uuid

from django.core.exceptions import FieldError
from django.db.models import Case, Func, IntegerField, Value
from django.db.models.functions import Cast
from django.db.models.lookups import Exact, IsNull
from django.db.models.query_utils import DeferredAttribute
from fernet_fields import EncryptedTextField

from connections.encryption import keyring, tokens
from connections.encryption.ring import SealError


class Sealed:
    """A stored value that is still closed. Shows nothing of its content in any form."""

    __slots__ = ("field", "is_json", "record", "token")

    def __init__(self, token, field, record=None, is_json=False):
        self.token, self.field, self.record, self.is_json = token, field, record, is_json

    def bound_to(self, record):
        """The same value, for the record with this id (what `values()` returns is unbound)."""
        return Sealed(self.token, self.field, canonical_id(record), self.is_json)

    @property
    def binding(self):
        return f"{self.record}/{self.field}"

    def reveal(self):
        """Open the value. Raises SealError where it does not open."""
        if self.record is None:
            raise SealError("This value is not bound to a record; call bound_to(id) first.")
        try:
            text = keyring.unseal(self.token, self.binding)
            return json.loads(text) if self.is_json else text
        except ValueError:  # its `object` or `doc` is the secret: do not chain it
            raise SealError("What was sealed here is not what this field holds.") from None

    reveal.alters_data = True  # a template must never open it

    @property
    def sealed_at(self):
        """When it was sealed, off the token alone (None where it is no token)."""
        return tokens.sealed_at(self.token)

    @property
    def size(self):
        """About how many bytes it holds, off the token alone."""
        return tokens.sealed_size(self.token, self.binding)

    @property
    def is_token(self):
        """Whether it looks like a token at all."""
        return tokens.is_token(self.token)

    @property
    def is_canonical(self):
        """Whether it is written as tokens are made, without what base64 passes over."""
        return tokens.is_canonical(self.token)

    @property
    def is_authentic(self):
        """Whether a key that we have made it. Opens nothing."""
        return keyring.is_authentic(self.token)

    def __repr__(self):
        return f"<sealed {self.field}>"

    def __eq__(self, other):
        if not isinstance(other, Sealed):
            return NotImplemented
        return (self.token, self.field) == (other.token, other.field)

    def __hash__(self):
        return hash((self.token, self.field))


def canonical_id(record):
    """The one spelling of a record id that bindings use."""
    return str(record if isinstance(record, uuid.UUID) else uuid.UUID(str(record)))


class SealedAttribute(DeferredAttribute):
    """Binds what the database gave and seals what is assigned, so no plaintext stays."""

    def __set__(self, instance, value):
        instance.__dict__[self.field.attname] = self.field.seal_for(instance.pk, value)


class SealedExact(Exact):
    """Only there so that `filter(field=None)` means "is not set"."""

    def get_prep_lookup(self):
        if self.rhs is not None:
            raise FieldError(f"{self.lhs.field.name} is sealed: it can't be compared.")


class SealedTextField(EncryptedTextField):
    """Text, stored as a Fernet token in a text column. Values are read as `Sealed`."""

    descriptor_class = SealedAttribute
    _internal_type = "TextField"
    is_json = False

    @property
    def keys(self):
        raise NotImplementedError("Keys come from connections.encryption.keyring only.")

    fernet_keys = fernet = keys

    def encode(self, value):
        """The text that is sealed for `value`. Raises SealError on what is no text."""
        if not isinstance(value, str):
            raise SealError(f"{self.name} takes text, not {type(value).__name__}.")
        return value

    def seal_for(self, record, value):
        """`value` as it is kept on the record with this id: None, an expression, or a Sealed."""
        if value is None or hasattr(value, "as_sql"):
            return value
        record = canonical_id(record)
        if isinstance(value, Sealed):
            if value.field != self.name or value.record not in (None, record):
                raise SealError(f"{self.name}: a sealed value stays where it was sealed.")
            return value.bound_to(record)
        token = keyring.seal(self.encode(value), f"{record}/{self.name}")
        return Sealed(token, self.name, record, self.is_json)

    def from_db_value(self, value, expression, connection):
        return None if value is None else Sealed(value, self.name, is_json=self.is_json)

    def to_python(self, value):
        """Deserialisers hand over the token that `value_to_string` wrote."""
        if value is None or isinstance(value, Sealed):
            return value
        return Sealed(value, self.name, is_json=self.is_json)

    def value_to_string(self, obj):
        value = self.value_from_object(obj)
        return None if value is None else value.token

    def get_prep_value(self, value):
        return value

    def get_db_prep_value(self, value, connection, prepared=False):
        if value is None or hasattr(value, "as_sql"):
            return self._check_expression(value)
        if not isinstance(value, Sealed) or value.record is None:
            raise FieldError(
                f"{self.name} is sealed: assign it on a record and save that, "
                "since a value is sealed for one record."
            )
        return value.token

    def get_db_prep_save(self, value, connection):
        return self.get_db_prep_value(value, connection)

    def _check_expression(self, value):
        """Let bulk_update's Case/Value through; an expression that could copy a column, never.

        The package would encrypt the expression's repr, other records' secrets included.
        """
        if value is None:
            return None
        parts = [value]
        while parts:
            part = parts.pop()
            if isinstance(part, Case):
                parts += [case.result for case in part.cases] + [part.default]
            elif isinstance(part, Cast):
                parts += part.get_source_expressions()
            elif not isinstance(part, Value):
                raise FieldError(f"{self.name} is sealed: it takes no {type(part).__name__}.")
            elif part.value is not None and not isinstance(part.value, Sealed):
                raise FieldError(f"{self.name} is sealed: Value() must hold a sealed value.")
        return value

    def get_lookup(self, lookup_name):
        return {"isnull": IsNull, "exact": SealedExact}.get(lookup_name)

    def get_transform(self, lookup_name):
        raise FieldError(f"{self.name} is sealed: '{lookup_name}' can't look inside.")

    def formfield(self, **kwargs):
        """Forms write sealed fields with inputs of their own; a model form shows none."""
        return None


_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class SealedJSONField(SealedTextField):
    """Any JSON value, sealed as its text."""

    is_json = True

    def encode(self, value):
        try:
            return _encode_json(value)
        except (TypeError, ValueError):
            raise SealError(f"{self.name} takes JSON values only.") from None


class IsToken(Func):
    """Whether a sealed column holds what looks like a token (1 or 0; NULL where it is not set).

    Like `Sealed.is_token`, without reading the token out of the database.
    """

    arity = 1
    output_field = IntegerField()
    template = (
        "CASE WHEN %(expressions)s IS NULL THEN NULL "
        f"WHEN substr(%(expressions)s, 1, {len(tokens.PREFIX)}) = '{tokens.PREFIX}' "
        f"AND length(%(expressions)s) >= {tokens.MIN_LENGTH} "
        "AND mod(length(%(expressions)s), 4) = 0 THEN 1 ELSE 0 END"
    )
