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

    def __init__(self, data=None, *, user, **kwargs):
        super().__init__(data, **kwargs)
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
    form = None
    if request.method == "POST":
        response, form = _handle_post(request)
        if response:
            return response
    return _views_page(request, form)


@transaction.atomic
def _handle_post(request):
    """A response and the form; the response is None where the form is not valid."""
    if "view" not in request.POST:
        view = SavedView(user=request.user, query=_get_list_query(request))
        form = ViewForm(request.POST, user=request.user, instance=view)
        return _save(request, form, "add"), form
    view = _get_editable_view(request, request.POST["view"])
    if "delete" in request.POST:
        log.log_event("delete", request=request, record=view)
        view.delete()
        messages.success(request, format_html(_("<b>Deleted the view {}.</b>"), str(view)))
        return redirect("admin:connections_views"), None
    form = ViewForm(request.POST, user=request.user, instance=view, prefix=str(view.pk))
    return _save(request, form, "change"), form


def _save(request, form, action):
    if not form.is_valid():
        return None
    view = form.save()
    if form.changed_data or action == "add":
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


def _views_page(request, form):
    query = _get_list_query(request)
    new_form = ViewForm(user=request.user) if form is None or form.instance.pk else form
    rows = []
    for view in SavedView.objects.available_to(request.user):
        is_posted = form is not None and form.instance.pk == view.pk
        view_form = None
        if is_posted:
            view_form = form
        elif view.is_editable_by(request.user):
            view_form = ViewForm(user=request.user, instance=view, prefix=str(view.pk))
        rows.append((view, describe_query(view.query), view_form))
    return page_response(
        request,
        "saved_views/saved_views",
        _("Views"),
        form=new_form,
        query=query,
        filter_labels=describe_query(query),
        rows=rows,
    )
