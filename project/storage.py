"""Names of static files: with a hash of their content once they are collected."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Keeps the names of files that are not collected: pages work before `collectstatic`."""

    manifest_strict = False

    def hashed_name(self, name, content=None, filename=None):
        try:
            return super().hashed_name(name, content, filename)
        except ValueError:  # not in STATIC_ROOT: whitenoise serves it from its source
            return name
