"""The standard library's JSON decoder, made strict, and the codes for what it refuses.

It sees what faster decoders hide: duplicate keys, NaN, lone surrogates, and depth.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from connections.json_format import values
from connections.json_format.serialize import equal_when_serialized

WHITESPACE = re.compile(r"[ \t\n\r]*")
MAX_DIGITS = 400  # of an integer; those of a longer one are not needed

RawDecode = Callable[[str, int], tuple[Any, int]]


class NotFinite(ValueError):
    """There is NaN or Infinity, which Python's decoder accepts and JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise NotFinite


def _object_from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict, or ConflictingKeys for an object that has a key twice with different values."""
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    names = [key for key, value in pairs if not equal_when_serialized(value, result[key])]
    if names:
        result = values.ConflictingKeys(result)
        result.names = list(dict.fromkeys(names))
    return result


def _parse_int(digits: str) -> int | values.OversizedNumber:
    return int(digits) if len(digits) <= MAX_DIGITS else values.OversizedNumber()


_decode: RawDecode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
_decode_pairs: RawDecode = json.JSONDecoder(
    object_pairs_hook=_object_from_pairs, parse_constant=_refuse_constant
).raw_decode
_decode_long_integers: RawDecode = json.JSONDecoder(
    object_pairs_hook=_object_from_pairs, parse_constant=_refuse_constant, parse_int=_parse_int
).raw_decode


def decode_value(text: str, position: int, decode: RawDecode = _decode) -> tuple[Any, int]:
    """The value at a position of a text, and where it ends.

    Raises json.JSONDecodeError, NotFinite (both are ValueErrors) and RecursionError.
    """
    try:
        return decode(text, position)
    except (json.JSONDecodeError, NotFinite):
        raise
    except ValueError:  # an integer of more digits than Python reads
        return _decode_long_integers(text, position)


def decode_entry(text: str, position: int) -> tuple[Any, int]:
    """As decode_value(), with ConflictingKeys for objects that have a key twice."""
    return decode_value(text, position, _decode_pairs)


def skip_whitespace(text: str, position: int) -> int:
    """The next position that is not white space; the end of the text if there is none."""
    match = WHITESPACE.match(text, position)
    assert match  # the pattern matches the empty text too
    return match.end()


def is_too_deep(value: Any, text: str, outer_depth: int) -> bool:
    """Whether a value, whose text is given, nests too deep inside `outer_depth` more levels."""
    if text.count("[") + text.count("{") + outer_depth <= values.MAX_DEPTH:
        return False  # there are not even so many brackets
    return values.nesting_depth(value) + outer_depth > values.MAX_DEPTH


# What a text that was cut off can end with: white space, or a part of an escape, word or number.
TRUNCATED_END = re.compile(
    r"[ \t\n\r]*|u[0-9a-fA-F]{0,4}|t(r|ru)?|f(a|al|als)?|n(u|ul)?|-|\.|[eE][+-]?"
)


def syntax_error_code(error: json.JSONDecodeError, at_end: bool) -> str:
    """The code for a syntax error: `truncated`, `json5` or `not_json`.

    `at_end` says whether the source ends with the text.
    """
    text, position = error.doc, min(error.pos, len(error.doc))
    rest = text[position : position + 2]
    if at_end and (
        error.msg.startswith("Unterminated") or TRUNCATED_END.fullmatch(text, position)
    ):
        return "truncated"
    before = text[max(0, position - 200) : position].rstrip()[-1:]
    if (
        rest[:1] == "'"
        or rest in ("//", "/*")
        or ("property name" in error.msg and (rest[:1].isalpha() or rest[:1] in "}_$"))
        or (rest[:1] in "]}" and before == ",")
        or (error.msg == "Expecting value" and rest[:1] in "+.")
        or (before == "0" and rest[:1] in "xX" and rest)
        or (before.isdigit() and rest[:1] == ".")
        or rest in ("\\\n", "\\\r")
    ):
        return "json5"
    return "not_json"
