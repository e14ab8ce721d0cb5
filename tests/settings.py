"""The project's settings with keys of the tests' own, whatever the machine's `.env` says."""

import os

from cryptography.fernet import Fernet

os.environ["SECRET_KEY"] = "tests only: " + "x1y2z3" * 10
os.environ["FERNET_KEYS"] = Fernet.generate_key().decode()
os.environ["HTTPS"] = "off"
os.environ["DEBUG"] = "off"
os.environ["ALLOWED_HOSTS"] = "localhost,testserver"
if "TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
else:
    os.environ.pop("DATABASE_URL", None)

from project.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
