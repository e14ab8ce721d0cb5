"""The page that explains the console's words."""

from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from connections.console.labels import EXPIRY_SOURCES, STATUS_LABELS
from connections.console.pages import context_for

# Keys of STATUS_LABELS, and what they mean.
STATUS_MEANINGS = (
    (["broken"], gettext_lazy("It has stopped working, and only a person can mend it.")),
    (
        ["day", "week", "month"],
        gettext_lazy("It breaks within this time, unless somebody does something."),
    ),
    (["later"], gettext_lazy("It breaks, but not within 30 days.")),
    (["no_end"], gettext_lazy("Nothing stored says when it ends.")),
    (["stale"], gettext_lazy("Access has ended. A machine can renew it, with what is stored.")),
    (["paused"], gettext_lazy("It is kept, and the API does not use it.")),
    (
        ["unreadable"],
        gettext_lazy(
            "A secret does not open with any key that we have. Import the connection again, or "
            "bring the key back."
        ),
    ),
)
GLOSSARY = (
    (
        gettext_lazy("Sealed"),
        gettext_lazy("Stored so that only the encryption keys open it. No page has it unasked."),
    ),
    (
        gettext_lazy("Reveal"),
        gettext_lazy(
            "To see a secret, for 30 seconds, once you have proven that it is you. Your reason is "
            "in the audit log before the secret is opened."
        ),
    ),
    (
        gettext_lazy("Masked"),
        gettext_lazy(
            "A mask stands in place of the secret. Imported again, it keeps the stored one."
        ),
    ),
    (
        gettext_lazy("Former version"),
        gettext_lazy("What a change replaced. For seven days it can be put back."),
    ),
    (gettext_lazy("Bin"), gettext_lazy("Where deleted connections stay for seven days.")),
)


@require_safe
def help_page(request):
    """For every signed-in user: nothing on it depends on what is stored."""
    meanings = [
        ([(name, STATUS_LABELS[name]) for name in names], text) for names, text in STATUS_MEANINGS
    ]
    sources = [source for name, source in EXPIRY_SOURCES.items() if name]
    context = context_for(request, _("Help"), meanings=meanings, sources=sources, words=GLOSSARY)
    return TemplateResponse(request, "connections/help/help.html", context)
