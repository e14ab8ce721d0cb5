"""What the cache holds is JSON: Django would unpickle it, and run what somebody put there."""

import json

from django.core.cache.backends import db


class JSONSerializer:
    """What Redis' backend takes as its serializer, and the database's in the place of pickle."""

    def dumps(self, value, protocol=None):
        return json.dumps(value).encode()

    def loads(self, data):
        return json.loads(data)


db.pickle = JSONSerializer()  # this backend has no setting for it


class DatabaseCache(db.DatabaseCache):
    """Django's, with values in JSON."""
