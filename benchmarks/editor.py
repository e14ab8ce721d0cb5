"""Saves records of a store over and over, as people do, until its standard input ends.

`python benchmarks/editor.py SEED`, or `SEED COUNT` to end after so many. Then prints one JSON
object: how many times it saved, and what each field that it touched holds since:
`{"edits": 812, "last": [[connection_id, field, value], …]}`.
"""

import json
import random
import select
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
django.setup()

from connections.models import ConnectionAuth  # noqa: E402 (needs Django set up)

KINDS = (  # which field, and whether the whole record is saved
    ("access_token", False),
    ("refresh_token", False),
    ("dev_api_key", True),
    ("name", False),
    ("meta", True),
)


def main(seed, most=None):
    chance = random.Random(seed)  # noqa: S311
    ids = list(ConnectionAuth.objects.values_list("pk", flat=True))
    last, number = {}, 0
    while number < most if most else not select.select([sys.stdin], [], [], 0)[0]:
        number += 1
        record = ConnectionAuth.objects.get(pk=chance.choice(ids))
        field, is_whole = chance.choice(KINDS)
        value = _value(chance, field, number)
        setattr(record, field, value)
        record.save_version(None if is_whole else [field])
        last[record.connection_id, field] = value
    print(json.dumps({"edits": number, "last": [[*key, value] for key, value in last.items()]}))


def _value(chance, field, number):
    text = f"synthsecret-edit-{number}-{chance.getrandbits(64):x}"
    if field == "dev_api_key" and chance.random() < 0.3:
        return None
    return {"note": text} if field == "meta" else text


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
