"""How static files are named: by their content once collected, plainly before."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Pages work before the first `collectstatic` too: what is not collected keeps its name."""

    manifest_strict = False

    def hashed_name(self, name, content=None, filename=None):
        try:
            return super().hashed_name(name, content, filename)
        except ValueError:  # not in STATIC_ROOT; whitenoise serves it from where it lies
            return name
