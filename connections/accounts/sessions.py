"""When a session ends, and what comes before anything else in it."""

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

IDLE_TIMEOUT = 15 * 60  # seconds without a request of the person
ABSOLUTE_TIMEOUT = 12 * 3600  # seconds since the login, whatever happens
# Noting each request would write to the database each time: to half a minute is enough.
LAST_SEEN_INTERVAL = 30

STARTED_AT_KEY, LAST_SEEN_KEY = "session_began", "session_seen"


@receiver(user_logged_in)
def start_session(request, **kwargs):
    request.session[STARTED_AT_KEY] = request.session[LAST_SEEN_KEY] = time.time()


@receiver(authenticator_added)
def end_other_sessions(request, user, authenticator, **kwargs):
    """Who sets up a second step ends their other sessions: a password alone began those."""
    if authenticator.type not in mfa.SECOND_FACTORS:
        return
    others = Session.objects.filter(expire_date__gt=timezone.now())
    for session in others.exclude(pk=request.session.session_key).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def does_not_extend_session(view):
    """Mark a view that pages ask by themselves: that keeps no session alive."""

    @wraps(view)
    def quiet(request, *args, **kwargs):
        request.is_background_request = True
        return view(request, *args, **kwargs)

    return quiet


def middleware(get_response):
    """End sessions that are over, and let nobody past REQUIRE_MFA."""

    def watch(request):
        if not request.user.is_authenticated:
            return get_response(request)
        now, session = time.time(), request.session
        if over := _expiry_message(session, now):
            logout(request)
            messages.info(request, over)
            return get_response(request)
        if _must_set_up_mfa(request):
            return redirect("mfa_index")
        response = get_response(request)
        is_over = LAST_SEEN_KEY not in session  # signed out just now
        if not is_over and not getattr(request, "is_background_request", False):
            if now - session[LAST_SEEN_KEY] >= LAST_SEEN_INTERVAL:
                session[LAST_SEEN_KEY] = now
        return response

    def process_exception(request, exception):
        """allauth's own pages ask for presence; it would keep what was posted in the session."""
        if isinstance(exception, ReauthenticationRequired) and request.user.is_authenticated:
            return reauthentication.redirect_to_reauthentication(request, request.get_full_path())
        return None

    watch.process_exception = process_exception
    return watch


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
