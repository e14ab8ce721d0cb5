"""The grammar of JSON, step by step: the members of an object and the items of an array.

Each function reads from the position of a Tokenizer and raises FileRefused.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from connections.json_format.schema import WRAPPER_KEYS
from connections.json_format.stream.decoder import is_too_deep, syntax_error_code
from connections.json_format.stream.tokenizer import MAX_ENTRY_SIZE, Tokenizer

# A comma with another value behind it, all of it in the window.
NEXT_VALUE = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?=[^ \t\n\r\]}])")
SKIPPED_LIST = object()  # stands for a list under one of WRAPPER_KEYS


def members(tokenizer: Tokenizer) -> Iterator[tuple[str, Any]]:
    """The members of an object, as `(key, value)`.

    Lists under one of WRAPPER_KEYS are checked item by item and not kept.
    """
    tokenizer.position += 1
    if tokenizer.peek() == "}":
        tokenizer.position += 1
        return
    size = 0  # without the lists: an object that is no wrapper is one entry
    while True:
        key = read_key(tokenizer)
        if tokenizer.peek() == "[" and key in WRAPPER_KEYS:
            for value, text in array_items(tokenizer):
                if is_too_deep(value, text, 2):
                    raise tokenizer.error("too_deep", tokenizer.start)
            yield key, SKIPPED_LIST
        else:
            value, text = tokenizer.read_value()
            size += len(key) + len(text)
            if size > MAX_ENTRY_SIZE:
                raise tokenizer.error("entry_too_large")
            if is_too_deep(value, text, 1):
                raise tokenizer.error("too_deep", tokenizer.start)
            yield key, value
        if not skip_separator(tokenizer, "}"):
            return


def array_items(tokenizer: Tokenizer) -> Iterator[tuple[Any, str]]:
    """The items of an array, as `(value, text)`."""
    tokenizer.position += 1
    if tokenizer.peek() == "]":
        tokenizer.position += 1
        return
    while True:
        yield tokenizer.read_value()
        if not skip_separator(tokenizer, "]"):
            return


def read_key(tokenizer: Tokenizer) -> str:
    """Read the key of a member and step over its colon."""
    first = tokenizer.peek()
    if first and first != '"':
        raise tokenizer.error("json5" if first.isalpha() or first in "_$'/" else "not_json")
    key: str = tokenizer.read_value()[0]
    if (found := tokenizer.peek()) != ":":
        raise tokenizer.error("not_json" if found else "truncated")
    tokenizer.position += 1
    return key


def skip_separator(tokenizer: Tokenizer, closing: str) -> bool:
    """Step over a comma (True) or the closing bracket (False)."""
    if comma := NEXT_VALUE.match(tokenizer.text, tokenizer.position):
        tokenizer.position = comma.end()
        return True
    found = tokenizer.peek()
    if found not in (",", closing):
        message = "Expecting ',' delimiter"
        error = json.JSONDecodeError(message, tokenizer.text, tokenizer.position)
        raise tokenizer.error(syntax_error_code(error, tokenizer.at_end))
    tokenizer.position += 1
    if found == closing:
        return False
    if tokenizer.peek() == closing:
        raise tokenizer.error("json5")  # a trailing comma
    return True
