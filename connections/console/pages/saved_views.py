"""Saved views of the list: filters with a name, which can be shared, renamed and deleted."""

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR
from django.db import transaction
from django.http import Http404
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.audit import log
from connections.console.filters import clean_query, describe_query
from connections.console.pages import page_response
from connections.models import SavedView
from connections.models.saved_view import SHARE_PERMISSION


class ViewForm(forms.ModelForm):
    """Names a new view, whose instance has a query and no key, or renames a stored one."""

    class Meta:
        model = SavedView
        fields = ("name", "is_shared")
        labels = {"name": gettext_lazy("Name"), "is_shared": gettext_lazy("Show it to everybody")}

    def __init__(self, data=None, *, user, instance=None):
        prefix = str(instance.pk) if instance and instance.pk else None
        super().__init__(data, instance=instance, prefix=prefix)
        if not user.has_perm(SHARE_PERMISSION):
            del self.fields["is_shared"]

    def own_views(self):
        return SavedView.objects.filter(user=self.instance.user_id)

    def clean_name(self):
        name = self.cleaned_data["name"]
        if self.own_views().exclude(pk=self.instance.pk).filter(name=name).exists():
            raise forms.ValidationError(_("There is a view of that name already."))
        return name

    def clean(self):
        if self.instance.pk is None:
            if not self.instance.query:
                raise forms.ValidationError(
                    _("Choose a filter in the list first: without one this is all connections.")
                )
            if len(self.instance.query) > SavedView._meta.get_field("query").max_length:
                raise forms.ValidationError(_("That filter is too long to be kept."))
            if self.own_views().count() >= SavedView.MAX_PER_USER:
                text = _("%(most)s views are as many as fit. Delete one first.")
                raise forms.ValidationError(text % {"most": SavedView.MAX_PER_USER})
        return super().clean()


def saved_views_page(request):
    """GET asks for a name for the query string of the list, and lists the saved views.

    POST saves a view, or renames or deletes the one whose key is in `view`.
    """
    return _handle_post(request) if request.method == "POST" else _views_page(request)


@transaction.atomic
def _handle_post(request):
    if "view" in request.POST:
        view = _get_editable_view(request, request.POST["view"])
    else:
        view = SavedView(user=request.user, query=_get_list_query(request))
    is_new = view.pk is None
    if "delete" in request.POST and not is_new:
        log.log_event("delete", request=request, record=view)
        view.delete()
        messages.success(request, format_html(_("<b>Deleted the view {}.</b>"), str(view)))
        return redirect("admin:connections_views")
    form = ViewForm(request.POST, user=request.user, instance=view)
    if not form.is_valid():
        return _views_page(request, form)
    form.save()
    if is_new or form.changed_data:
        action = "add" if is_new else "change"
        log.log_event(action, request=request, record=view, fields=form.changed_data)
    messages.success(request, format_html(_("<b>Saved the view {}.</b>"), str(view)))
    response = redirect("admin:connections_connectionauth_changelist")
    response["Location"] += f"?{view.query}"
    return response


def _get_editable_view(request, key):
    """A view that the user may change; 404 for any other."""
    for view in SavedView.objects.available_to(request.user):
        if str(view.pk) == key and view.is_editable_by(request.user):
            return view
    raise Http404


def _get_list_query(request):
    """The query string of the list that led here, as a view keeps it: without a page."""
    query = clean_query(request.GET)
    query.pop(PAGE_VAR, None)
    return query.urlencode()


def _views_page(request, posted_form=None):
    query = _get_list_query(request)
    forms_by_pk = {None: ViewForm(user=request.user)}
    views = SavedView.objects.available_to(request.user)
    for view in views:
        if view.is_editable_by(request.user):
            forms_by_pk[view.pk] = ViewForm(user=request.user, instance=view)
    if posted_form:
        forms_by_pk[posted_form.instance.pk] = posted_form
    return page_response(
        request,
        "saved_views/saved_views",
        _("Views"),
        form=forms_by_pk[None],
        query=query,
        filter_labels=describe_query(query),
        rows=[(view, describe_query(view.query), forms_by_pk.get(view.pk)) for view in views],
    )
