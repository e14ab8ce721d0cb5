"""The project's settings with keys of the tests' own, whatever the machine's `.env` says."""

import os

from connections.encryption import keyring

for name, value in {
    "SECRET_KEY": "tests only: " + "x1y2z3" * 10,
    "FERNET_KEYS": keyring.generate_key(),
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite://:memory:"),
    "DEBUG": "off",
    "ALLOWED_HOSTS": "localhost,testserver",
    "CSRF_TRUSTED_ORIGINS": "",
    "HTTPS": "off",
    "TRUSTED_PROXIES": "",
    "REQUIRE_MFA": "",
    "CACHE_URL": "",
    "TIME_ZONE": "UTC",
    "EMAIL_URL": "consolemail://",
    "CELERY_BROKER_URL": "",
}.items():
    os.environ[name] = value
    os.environ.pop(f"{name}_FILE", None)

from project.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
# Every test client would look all static files up; the live server serves them itself.
WHITENOISE_USE_FINDERS = False
