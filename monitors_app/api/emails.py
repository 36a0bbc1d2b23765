"""`/api/v1/developers/{id}/emails`: what a developer wants to hear of by e-mail, as in the portal (rule 7.12)."""

from datetime import time
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from monitors_app.models import EmailPreference
from monitors_app.preferences import preference_of, set_thresholds
from organisations_app.audit import Subject
from organisations_app.models import Developer
from organisations_app.rest.entity_tags import check_match
from organisations_app.rest.fields import Choice, KnownMembers, Text
from organisations_app.rest.resources import ScopedView, answer
from organisations_app.tenancy import within


class ClockField(serializers.TimeField):
    def to_internal_value(self, data: Any) -> time:
        moment: time = super().to_internal_value(data if isinstance(data, str) else "")
        return moment.replace(tzinfo=None)


class EmailChoiceShape(KnownMembers):
    """E-mails about thresholds: at once, together once a day, or never."""

    thresholds = Choice(choices=EmailPreference.Thresholds.values)
    digest_at = ClockField(
        required=False, help_text="Of the daily e-mail, in the organisation's time zone; absent: stays as it is."
    )
    refused_address = Text(
        read_only=True, help_text="Not empty: the mail server refused it for good. A PUT tries it again."
    )


class EmailChoiceView(ScopedView):
    """What a developer hears of by e-mail."""

    scope = "developers"

    @extend_schema(operation_id="developers_emails_retrieve", responses=EmailChoiceShape)
    def get(self, request: Request, developer_id: str) -> Response:
        return answer(choice_document(self.find_developer(developer_id)))

    @extend_schema(operation_id="developers_emails_update", request=EmailChoiceShape, responses=EmailChoiceShape)
    @transaction.atomic
    def put(self, request: Request, developer_id: str) -> Response:
        """Holds at once, also for e-mails that wait."""
        developer = self.find_developer(developer_id)
        before = choice_document(developer)
        check_match(request, before)
        choice = EmailChoiceShape(data=request.data)
        choice.is_valid(raise_exception=True)
        values = choice.validated_data
        set_thresholds(developer, values["thresholds"], values.get("digest_at"))
        after = choice_document(developer)
        subject = Subject("developer", str(developer.pk), developer.organisation_id)
        self.record("choose-emails", subject, before=before, after=after)
        return answer(after)

    def find_developer(self, developer_id: str) -> Developer:
        developers = within(Developer.objects.select_related("organisation"), self.organisations, "organisation")
        developer = developers.filter(pk=developer_id).first()
        if developer is None:
            raise NotFound("There is no such developer.")
        return developer


def choice_document(developer: Developer) -> dict[str, Any]:
    return dict(EmailChoiceShape(preference_of(developer)).data)
