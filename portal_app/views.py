"""Pages of the developer portal and the root page. They gather and show; rules live in the layers below."""

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.generic import TemplateView

from monitors_app.models import EmailPreference, TriggerEvent
from monitors_app.preferences import preference_of, set_thresholds
from organisations_app.models import Developer
from organisations_app.tenancy import applications_of, developer_of, owned
from sessions_app.key_cards import KeyCard, key_cards, sharing_shown
from sessions_app.models import Key, UsageHour
from sessions_app.usage_charts import daily_chart

EVENTS_SHOWN = 20


def home(request: HttpRequest) -> HttpResponse:
    """The root page: what this is, and its doors."""
    return render(request, "portal_app/home.html", {"demo": settings.GATEWAY_DEMO})


class PortalLogin(LoginView):
    template_name = "portal_app/login.html"
    redirect_authenticated_user = True
    next_page = "portal:keys"


class PortalLogout(LogoutView):
    next_page = "portal:login"


class PasswordChange(PasswordChangeView):
    template_name = "portal_app/password.html"
    success_url = reverse_lazy("portal:keys")


class DeveloperPage(LoginRequiredMixin, TemplateView):
    """A page for developers. Other logins (staff, say) are told so instead."""

    login_url = reverse_lazy("portal:login")
    developer: Developer

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        developer = developer_of(request.user)
        if request.user.is_authenticated and developer is None:
            return render(request, "portal_app/no_developer.html", status=403)
        if developer is not None:
            self.developer = developer
        return super().dispatch(request, *args, **kwargs)

    def keys(self) -> QuerySet[Key]:
        return owned(Key.objects.select_related("application").prefetch_related("credentials"), self.developer)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(developer=self.developer, zone=self.developer.organisation.timezone, **kwargs)


class KeyList(DeveloperPage):
    """All keys of the developer's applications with their live usage. Revoked and expired ones come last."""

    template_name = "portal_app/keys.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        cards = key_cards(list(self.keys()), timezone.now())
        cards.sort(key=_by_use)
        return super().get_context_data(
            cards=cards,
            store_answers=all(card.bars is not None for card in cards),
            applications=list(applications_of(self.developer)),
            **kwargs,
        )


def _by_use(card: KeyCard) -> tuple[bool, str, str]:
    """Keys that work first, then by application and name: an order that stays from one look to the next."""
    application = card.key.application
    return card.status.has_ended, application.name if application else "", str(card.key)


class KeyDetail(DeveloperPage):
    """One key: live usage, limits of each API, two weeks of requests, and the thresholds that were reached lately."""

    template_name = "portal_app/key.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = get_object_or_404(self.keys(), pk=kwargs["key_id"])
        now, zone = timezone.now(), ZoneInfo(self.developer.organisation.timezone)
        card = key_cards([key], now)[0]
        sharing = sharing_shown(card)
        own = (
            set(self.keys().filter(pk__in=[each.pk for each in sharing.keys]).values_list("pk", flat=True))
            if sharing
            else set()
        )
        return super().get_context_data(
            card=card,
            sharing=sharing,
            shared_own=[each for each in sharing.keys if each.pk in own] if sharing else [],
            shared_others=sum(each.pk not in own for each in sharing.keys) if sharing else 0,
            chart=daily_chart(UsageHour.objects.filter(key=key.pk), zone, now),
            events=TriggerEvent.objects.filter(key_id=key.pk, organisation_id=key.organisation_id)[:EVENTS_SHOWN],
            **kwargs,
        )


class Emails(DeveloperPage):
    """Whether the developer wants to be told of thresholds by e-mail (rule 7.12)."""

    template_name = "portal_app/emails.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        preference = preference_of(self.developer)
        choices = EmailPreference.Thresholds.choices
        return super().get_context_data(
            choices=choices,
            choice=preference.thresholds,
            digest_at_shown=f"{preference.digest_at:%H:%M}",
            now_there=f"{timezone.now().astimezone(ZoneInfo(self.developer.organisation.timezone)):%H:%M}",
            **kwargs,
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        """What is wrong is said at its field, with what was typed."""
        choice, typed = request.POST.get("thresholds", ""), request.POST.get("digest_at", "")
        try:
            at = time.fromisoformat(typed).replace(tzinfo=None) if typed else None
        except ValueError:
            problem = f"{typed[:20]!r} is no time of day; write hours and minutes, such as 08:00."
            return self._refused(choice=choice, typed=typed, digest_at_problem=problem)
        try:
            set_thresholds(self.developer, choice, at)
        except ValueError:
            return self._refused(typed=typed, choice_problem="Choose one of these.")
        messages.success(request, "Your choice is saved.")
        return redirect("portal:emails")

    def _refused(self, **context: str) -> HttpResponse:
        return self.render_to_response(self.get_context_data() | context, status=400)
