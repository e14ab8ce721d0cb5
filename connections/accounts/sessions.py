"""When a session ends, and that a second factor is set up where REQUIRE_MFA asks for it."""

import time
from functools import wraps

from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.signals import authenticator_added
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.dispatch import receiver
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from connections.accounts import mfa, reauthentication

IDLE_TIMEOUT = 15 * 60  # seconds without a request that the user made
ABSOLUTE_TIMEOUT = 12 * 3600  # seconds since the login
LAST_SEEN_INTERVAL = 30  # seconds; to store the time of each request would cost a write each

STARTED_AT_KEY, LAST_SEEN_KEY = "session_began", "session_seen"


@receiver(user_logged_in)
def start_session(request, **kwargs):
    request.session[STARTED_AT_KEY] = request.session[LAST_SEEN_KEY] = time.time()


@receiver(authenticator_added)
def end_other_sessions(request, user, authenticator, **kwargs):
    """End the other sessions of a user who sets up a second step: a password began those."""
    if authenticator.type not in mfa.SECOND_FACTORS:
        return
    others = Session.objects.filter(expire_date__gt=timezone.now())
    for session in others.exclude(pk=request.session.session_key).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def does_not_extend_session(view):
    """Decorate a view that pages request by themselves, which is no activity of the user."""

    @wraps(view)
    def wrapper(request, *args, **kwargs):
        request.is_background_request = True
        return view(request, *args, **kwargs)

    return wrapper


def middleware(get_response):
    """End sessions that have timed out, and enforce REQUIRE_MFA."""

    def session_middleware(request):
        if not request.user.is_authenticated:
            return get_response(request)
        now, session = time.time(), request.session
        if message := _expiry_message(session, now):
            logout(request)
            messages.info(request, message)
            return get_response(request)
        if _must_set_up_mfa(request):
            return redirect("mfa_index")
        response = get_response(request)
        is_signed_out = LAST_SEEN_KEY not in session
        if not is_signed_out and not getattr(request, "is_background_request", False):
            if now - session[LAST_SEEN_KEY] >= LAST_SEEN_INTERVAL:
                session[LAST_SEEN_KEY] = now
        return response

    def process_exception(request, exception):
        """Redirect as our pages do: allauth would keep what was posted in the session."""
        if isinstance(exception, ReauthenticationRequired) and request.user.is_authenticated:
            return reauthentication.redirect_to_reauthentication(request, request.get_full_path())
        return None

    session_middleware.process_exception = process_exception
    return session_middleware


def _expiry_message(session, now):
    if now - session.get(LAST_SEEN_KEY, 0) >= IDLE_TIMEOUT:
        return _("You were signed out after 15 minutes without activity.")
    if now - session.get(STARTED_AT_KEY, 0) >= ABSOLUTE_TIMEOUT:
        return _("You were signed out after 12 hours.")
    return None


def _must_set_up_mfa(request):
    return (
        settings.REQUIRE_MFA
        and not request.path.startswith(reverse("account"))
        and not mfa.has_second_factor(request.user)
    )
