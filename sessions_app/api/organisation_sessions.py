"""`/api/v1/organisations/{id}/session`: the session object of an organisation limits all its keys together."""

from dataclasses import replace
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.models import Organisation
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.entity_tags import check_match
from organisations_app.rest.resources import ScopedView, answer
from organisations_app.tenancy import within
from sessions_app import corrections, custody
from sessions_app.api.steps import reason_of, stored
from sessions_app.documents import live_organisation_usage
from sessions_app.models import OrgSession
from sessions_app.shapes import OrganisationSessionShape, ReasonShape, ResetShape, SessionShape
from sessions_app.tyk import org_session_from_tyk, org_session_to_tyk

MEMBERS = frozenset(SessionShape().fields)


class SessionView(ScopedView):
    scope = "organisations"

    def find_organisation(self, organisation_id: str) -> Organisation:
        organisation = (
            within(Organisation.objects.living(), self.organisations, "pk").filter(pk=organisation_id).first()
        )
        if organisation is None:
            raise NotFound("There is no such organisation.")
        return organisation

    def find_session(self, organisation_id: str) -> OrgSession:
        organisation = self.find_organisation(organisation_id)
        session = OrgSession.objects.select_related("organisation").filter(organisation=organisation).first()
        if session is None:
            raise NotFound("This organisation has no session; PUT makes one.")
        return session


class OrganisationSessionView(SessionView):
    """The session object of an organisation limits all its keys together."""

    @extend_schema(responses=SessionShape)
    def get(self, request: Request, organisation_id: str) -> Response:
        return answer(session_document(self.find_session(organisation_id)))

    @extend_schema(request=OrganisationSessionShape, responses=SessionShape)
    @transaction.atomic
    def put(self, request: Request, organisation_id: str) -> Response:
        """Makes or replaces it; usage stays."""
        organisation = self.find_organisation(organisation_id)
        draft = org_session_from_tyk(request.data, organisation_id, strict=True)
        before = OrgSession.objects.select_for_update().filter(organisation=organisation).first()
        check_match(request, session_document(before) if before else {})
        session = custody.save_org_session(replace(draft, extra=before.extra) if before else draft, actor_of(request))
        return answer(session_document(session))

    @extend_schema(responses={204: None})
    @transaction.atomic
    def delete(self, request: Request, organisation_id: str) -> Response:
        """No org session: no organisation limit."""
        session = self.find_session(organisation_id)
        check_match(request, session_document(session))
        custody.delete_org_session(session, actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class OrganisationResetView(SessionView):
    may_refuse = (503,)

    @extend_schema(request=ReasonShape, responses=ResetShape)
    def post(self, request: Request, organisation_id: str) -> Response:
        """Usage becomes 0; a new period begins with the next request."""
        session, reason = self.find_session(organisation_id), reason_of(request)
        organisation = session.organisation
        used = stored(lambda: corrections.reset_organisation_quota(organisation, actor_of(request), reason))
        return Response({"id": organisation_id, "used": used})


def session_document(session: OrgSession) -> dict[str, Any]:
    shown = org_session_to_tyk(session, live_organisation_usage(session.organisation))
    return {name: value for name, value in shown.items() if name in MEMBERS}
