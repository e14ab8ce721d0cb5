"""How much a test does that could go on for long."""

from hypothesis import settings


def is_thorough():
    """Whether this is `make test-thorough`: more examples and longer tests."""
    return settings.get_current_profile_name() == "thorough"
