"""Settings, all from the environment (see docs/operations.md for the table).

Every name is read from the environment, from the file that NAME_FILE points at,
or from `.env` beside manage.py; the environment wins over `.env`.
"""

import os
import sys
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.Env):
    ENVIRON = dict(os.environ)

    @classmethod
    def read(cls, dotenv):
        """Read `.env` and every NAME_FILE; the environment wins over `.env`."""
        given = set(cls.ENVIRON)
        if dotenv.is_file():
            cls.read_env(dotenv)
        for name in [name for name in cls.ENVIRON if name.endswith("_FILE")]:
            plain = name.removesuffix("_FILE")
            if plain not in ENV_SETTINGS or (plain in given and name not in given):
                continue
            if (name in given) == (plain in given) and cls.ENVIRON.get(plain, "").strip():
                raise ImproperlyConfigured(f"{plain} and {name} are both set: leave one in.")
            try:
                cls.ENVIRON[plain] = Path(cls.ENVIRON[name]).read_text().strip()
            except OSError as error:
                raise ImproperlyConfigured(f"{name}: {error.strerror}.") from None
            except UnicodeDecodeError:  # its `object` may be a key: do not chain it
                raise ImproperlyConfigured(f"{name}: what it holds is no text.") from None
        return cls()


ENV_SETTINGS = (
    "SECRET_KEY FERNET_KEYS DATABASE_URL DEBUG ALLOWED_HOSTS CSRF_TRUSTED_ORIGINS HTTPS "
    "TRUSTED_PROXIES REQUIRE_MFA TIME_ZONE EMAIL_URL CACHE_URL CELERY_BROKER_URL"
).split()
env = Env.read(BASE_DIR / ".env")


def env_list(name, default=""):
    """A comma-separated setting as a list."""
    return [text.strip() for text in env.ENVIRON.get(name, default).split(",") if text.strip()]


def env_switch(name, default):
    """A switch. Only off, false, no and 0 mean off, so a typo does not switch anything off."""
    given = env.ENVIRON.get(name) or default
    return given.strip().lower() not in ("off", "false", "no", "0")


# Keys. Nothing is checked here: keyring.require_keys() does that, with a sentence.
SECRET_KEY = env.ENVIRON.get("SECRET_KEY", "")  # not env(): a key may begin with "$"
# A blank between two commas is not left out, but refused as any other bad key.
FERNET_KEYS = [key.strip() for key in env.ENVIRON.get("FERNET_KEYS", "").split(",")]
if FERNET_KEYS == [""]:
    FERNET_KEYS = []
FERNET_USE_HKDF = False  # tokens are standard Fernet under FERNET_KEYS, readable by any library

DEBUG = env.bool("DEBUG", default=False)
# On unless it is switched off, for use on one's own machine.
HTTPS = env_switch("HTTPS", "on")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
# Addresses or networks whose X-Forwarded-* headers are believed.
TRUSTED_PROXIES = env_list("TRUSTED_PROXIES")

INSTALLED_APPS = [
    "connections.apps.LatchkeyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "connections.apps.ConnectionsConfig",
]

MIDDLEWARE = [
    "project.middleware.trusted_proxies",
    # Before all that may respond early: redirects and errors carry these headers too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.middleware.no_store",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",  # files before it are the same in any language
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "connections.console.time_zone.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "connections.accounts.sessions.middleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "connections.console.context_processors.page_context",
            ],
        },
    },
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
if DATABASES["default"].get("ENGINE", "").endswith("sqlite3"):
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # IMMEDIATE takes the write lock at BEGIN: two writers wait for each other
        # where the default would fail one of them with "database is locked".
        transaction_mode="IMMEDIATE",
        timeout=30,
        # 64 MB in the log before they are copied into the file: an import changes the same pages
        # of its indexes over and over.
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
        "PRAGMA wal_autocheckpoint=16384;",
    )
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Signing in is django-allauth's: user name and password, then TOTP or a passkey. There is no
# sign-up and no way in by e-mail; connections/accounts/sign_in.py has what is our own.
AUTHENTICATION_BACKENDS = ["connections.accounts.sign_in.StaffBackend"]
LOGIN_URL = ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
ACCOUNT_ADAPTER = "connections.accounts.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Guesses of a user's password or codes (each a "key"), and from one address. A refused attempt is
# not counted, so that nobody is locked out for longer than the period.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "50/15m/ip,10/15m/key",
    "change_password": "10/15m/user",
    "reauthenticate": "10/m/user",
}
MFA_ADAPTER = "connections.accounts.mfa.MFAAdapter"
ACCOUNT_FORMS = {"change_password": "connections.accounts.sign_in.ChangePasswordForm"}
MFA_FORMS = {
    "activate_totp": "connections.accounts.mfa_forms.ActivateTOTPForm",
    "authenticate_webauthn": "connections.accounts.mfa_forms.AuthenticatePasskeyForm",
    "reauthenticate_webauthn": "connections.accounts.mfa_forms.ReauthenticatePasskeyForm",
    "login_webauthn": "connections.accounts.mfa_forms.LoginPasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Latchkey"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS  # browsers allow that for localhost alone
REQUIRE_MFA = env_switch("REQUIRE_MFA", "off")

# The rules for sessions are in connections/accounts/sessions.py; no cookie outlives them.
SESSION_COOKIE_AGE = 12 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

# Guesses are counted here, so all machines have to share it: by default it is in the database.
CACHES = {
    "default": env.cache_url("CACHE_URL")
    if env.ENVIRON.get("CACHE_URL")
    else {
        "BACKEND": "project.cache.DatabaseCache",
        "LOCATION": "connections_cache",  # created by the first migration
        "KEY_PREFIX": "json",  # what was pickled under other names is not read
        # Entries above that are deleted, even counts that still matter.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

if CACHES["default"]["BACKEND"].endswith(".RedisCache"):
    CACHES["default"].setdefault("OPTIONS", {})["serializer"] = "project.cache.JSONSerializer"

# The browser chooses one; commands, logs and stored texts are in the first.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
WHITENOISE_USE_FINDERS = True  # serves also what is not collected yet
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "project.storage.StaticStorage"},
}

vars().update(env.email_url("EMAIL_URL", default="consolemail://"))

# Where imports of the browser are queued; without it each gets a child process (see runs.launch).
CELERY_BROKER_URL = env.ENVIRON.get("CELERY_BROKER_URL", "")

# Uploads pass through memory into sealed chunks; none touches the disk in clear.
FILE_UPLOAD_HANDLERS = ["connections.console.uploads.SealedUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

DEFAULT_EXCEPTION_REPORTER = "project.errors.RedactingExceptionReporter"

SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CSRF_COOKIE_HTTPONLY = True
# Whether other hosts of the domain use HTTPS is not for this program to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"brief": {"()": "project.logs.SecurityTracebackFilter"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "project.logs.JSONFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["brief"], "formatter": "line"},
        # Standard error: a command's standard output is for its result. A server changes this.
        "audit": {"class": "logging.StreamHandler", "formatter": "json"},
    },
    "loggers": {
        "connections.audit": {
            "handlers": ["audit"],
            # At a terminal nobody reads JSON.
            "level": "CRITICAL" if sys.stderr.isatty() else "INFO",
            "propagate": False,
        }
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
}
