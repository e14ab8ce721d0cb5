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

IDLE = 15 * 60  # seconds without a request of the person
ABSOLUTE = 12 * 3600  # seconds since the login, whatever happens
# Noting each request would write to the database each time: to half a minute is enough.
NOTED_EVERY = 30

BEGAN, SEEN = "session_began", "session_seen"


@receiver(user_logged_in)
def begin(request, **kwargs):
    request.session[BEGAN] = request.session[SEEN] = time.time()


@receiver(authenticator_added)
def end_others(request, user, authenticator, **kwargs):
    """Who sets up a second step ends their other sessions: a password alone began those."""
    if authenticator.type not in mfa.SECOND_FACTORS:
        return
    others = Session.objects.filter(expire_date__gt=timezone.now())
    for session in others.exclude(pk=request.session.session_key).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def in_background(view):
    """Mark a view that pages ask by themselves: that keeps no session alive."""

    @wraps(view)
    def quiet(request, *args, **kwargs):
        request.is_in_background = True
        return view(request, *args, **kwargs)

    return quiet


def middleware(get_response):
    """End sessions that are over, and let nobody past REQUIRE_MFA."""

    def watch(request):
        if not request.user.is_authenticated:
            return get_response(request)
        now, session = time.time(), request.session
        if over := _why_over(session, now):
            logout(request)
            messages.info(request, over)
            return get_response(request)
        if _must_set_up(request):
            return redirect("mfa_index")
        response = get_response(request)
        is_over = SEEN not in session  # signed out just now
        if not is_over and not getattr(request, "is_in_background", False):
            if now - session[SEEN] >= NOTED_EVERY:
                session[SEEN] = now
        return response

    def process_exception(request, exception):
        """allauth's own pages ask for presence; it would keep what was posted in the session."""
        if isinstance(exception, ReauthenticationRequired) and request.user.is_authenticated:
            return reauthentication.ask(request, request.get_full_path())
        return None

    watch.process_exception = process_exception
    return watch


def _why_over(session, now):
    if now - session.get(SEEN, 0) >= IDLE:
        return _("You were signed out after 15 minutes without activity.")
    if now - session.get(BEGAN, 0) >= ABSOLUTE:
        return _("You were signed out after 12 hours.")
    return None


def _must_set_up(request):
    return (
        settings.REQUIRE_MFA
        and not request.path.startswith(reverse("account"))
        and not mfa.has_second_factor(request.user)
    )
