"""The page that explains the console's words."""

from django.utils.translation import gettext_lazy as _

from connections.console.labels import EXPIRY_SOURCES, STATUS_LABELS
from connections.console.pages import page_response

# Keys of STATUS_LABELS, and what they mean.
STATUS_MEANINGS = (
    (["broken"], _("It has stopped working, and only a person can mend it.")),
    (["day", "week", "month"], _("It breaks within this time, unless somebody does something.")),
    (["later"], _("It breaks, but not within 30 days.")),
    (["no_end"], _("Nothing stored says when it ends.")),
    (["stale"], _("Access has ended. A machine can renew it, with what is stored.")),
    (["paused"], _("It is kept, and the API does not use it.")),
    (
        ["unreadable"],
        _(
            "A secret does not open with any key that we have. Import the connection again, or "
            "bring the key back."
        ),
    ),
)
GLOSSARY = (
    (_("Sealed"), _("Stored so that only the encryption keys open it. No page has it unasked.")),
    (
        _("Reveal"),
        _(
            "To see a secret, for 30 seconds, once you have proven that it is you. Your reason is "
            "in the audit log before the secret is opened."
        ),
    ),
    (
        _("Masked"),
        _("A mask stands in place of the secret. Imported again, it keeps the stored one."),
    ),
    (_("Former version"), _("What a change replaced. For seven days it can be put back.")),
    (_("Bin"), _("Where deleted connections stay for seven days.")),
)


def help_page(request):
    """For every signed-in user: nothing on it depends on what is stored."""
    meanings = [
        ([(name, STATUS_LABELS[name]) for name in names], text) for names, text in STATUS_MEANINGS
    ]
    sources = [source for name, source in EXPIRY_SOURCES.items() if name]
    return page_response(
        request, "help/help", _("Help"), meanings=meanings, sources=sources, words=GLOSSARY
    )
