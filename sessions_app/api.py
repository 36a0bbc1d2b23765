"""`/api/v1/keys` and `/api/v1/organisations/{id}/session`: session objects with Tyk's names and live usage."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from organisations_app.documents import Reader, refusal
from organisations_app.models import Application, Organisation
from organisations_app.rest.refusals import Conflict, Unavailable
from organisations_app.rest.views import ID
from policies_app.models import Api
from sessions_app import drafts, keys, usage
from sessions_app.documents import computed_documents, live_organisation_usage, live_usage, stored_documents
from sessions_app.drafts import SessionDraft
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Credential, Key, OrgSession
from sessions_app.queries import keys_naming
from sessions_app.shapes import (
    MAX_OVERLAP_SECONDS,
    KeyShape,
    NewKeyShape,
    QuotaShape,
    ReasonShape,
    ResetShape,
    RotateShape,
    SessionShape,
)
from sessions_app.tyk import org_session_from_tyk, org_session_to_tyk, session_from_tyk

logger = logging.getLogger(__name__)

NO_ACCESS = "must name at least one API, or apply_policies a policy: a key without both opens nothing"
STORE_SILENT = "The counter store does not answer, so the quota was not reset. Try again."
ANSWERED_ONLY = frozenset(name for name, field in KeyShape().fields.items() if field.read_only)


# --- keys -------------------------------------------------------------------------------------------------------------


class KeyFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    alias = django_filters.CharFilter()
    application_id = django_filters.NumberFilter()
    policy = django_filters.CharFilter(field_name="key_policies__policy_id")
    api = django_filters.CharFilter(method="of_api")
    is_inactive = django_filters.BooleanFilter()
    revoked = django_filters.BooleanFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)

    def of_api(self, rows: QuerySet[Key], name: str, value: str) -> QuerySet[Key]:
        return rows.filter(pk__in=keys_naming(value).values("pk"))


@extend_schema_view(
    create=extend_schema(request=KeyShape, responses={201: NewKeyShape}),
    partial_update=extend_schema(request=KeyShape, responses=KeyShape),
)
class KeyViewSet(viewsets.GenericViewSet[Key]):
    """Keys. `id` is public; the raw key is in the answer to create and rotate only."""

    queryset = Key.objects.all()
    serializer_class = KeyShape
    filterset_class = KeyFilter
    lookup_value_regex = ID
    ordering = ["-created_at", "id"]
    ordering_fields = ["created_at", "id", "alias"]

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(key_documents(page))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(key_documents([self.get_object()])[0])

    def create(self, request: Request) -> Response:
        document, application_id = split(request.data)
        draft = checked(session_from_tyk(document, strict=True))
        check_application(application_id, draft.organisation_id)
        key, token = drafts.create_key(draft, application_id=application_id)
        return Response({**key_documents([key])[0], "key": token}, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes the members that are sent; usage stays."""
        key = living(self.get_object())
        sent, application_id = split(request.data)
        session_from_tyk(sent, organisation_id=key.organisation_id, strict=True)
        draft = checked(session_from_tyk({**stored_documents([key])[key.pk], **sent}), unchanged=own_apis(key))
        if "application_id" in request.data:
            check_application(application_id, key.organisation_id)
            key.application_id = application_id
        drafts.change_key(key, draft)
        return Response(key_documents([key])[0])

    def destroy(self, request: Request, pk: str) -> Response:
        """Unlike revoking, this forgets the key and its usage history, too."""
        keys.delete_key(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=ReasonShape, responses=ResetShape)
    @action(detail=True, methods=["post"], url_path="reset-quota")
    def reset_quota(self, request: Request, pk: str) -> Response:
        """Usage becomes 0 on every quota counter that the key uses, also a shared one.

        A new period begins with the next request.
        """
        key, reason = living(self.get_object()), reason_of(request)
        used = reset_or_refuse(lambda: usage.reset_key_quota(key))
        logger.info("quota of key %s reset by %s, %d used: %s", key.pk, who(request), used, reason)
        return Response({"id": key.pk, "used": used})

    @extend_schema(request=RotateShape, responses=NewKeyShape)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret for the same key; counters stay. Older secrets work for `overlap_seconds` more."""
        key = living(self.get_object())
        reader = Reader(request.data)
        overlap = reader.whole("overlap_seconds", low=0, high=MAX_OVERLAP_SECONDS, meaning=" of seconds")
        reader.refuse_rest()
        reader.finish()
        token = keys.rotate_key(key, overlap)
        return Response({**key_documents([key])[0], "key": token})

    @extend_schema(request=ReasonShape, responses=KeyShape)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """From the next request on nobody knows this key; its history stays. Repeating it changes nothing."""
        key, reason = self.get_object(), reason_of(request)
        keys.revoke_key(key)
        logger.info("key %s revoked by %s: %s", key.pk, who(request), reason)
        return Response(key_documents([key])[0])


def key_documents(page: Sequence[Key]) -> list[dict[str, Any]]:
    """Keys as this API shows them: session members, computed and live."""
    live = live_usage(page)
    computed = computed_documents(page, live)
    secrets = newest_credentials(page)
    return [
        {
            "id": key.pk,
            "key_hash": secrets[key.pk].digest if key.pk in secrets else "",
            "key_hint": secrets[key.pk].hint if key.pk in secrets else "",
            "application_id": key.application_id,
            **{name: value for name, value in computed[key.pk].items() if name in KeyShape().fields},
            **({} if live is None else {"usage": [QuotaShape(quota).data for quota in live[key.pk]]}),
            "revoked_at": key.revoked_at,
        }
        for key in page
    ]


def newest_credentials(page: Sequence[Key]) -> dict[str, Credential]:
    return {
        credential.key_id: credential
        for credential in Credential.objects.filter(key__in=page).order_by("created_at", "id")
    }


# --- organisation sessions --------------------------------------------------------------------------------------------


class OrganisationSessionView(APIView):
    """The session object of an organisation limits all its keys together."""

    @extend_schema(responses=SessionShape)
    def get(self, request: Request, organisation_id: str) -> Response:
        return Response(session_document(find_session(organisation_id)))

    @extend_schema(request=SessionShape, responses=SessionShape)
    def put(self, request: Request, organisation_id: str) -> Response:
        """Makes or replaces it; usage stays."""
        find_organisation(organisation_id)
        draft = org_session_from_tyk(request.data, organisation_id, strict=True)
        stored = OrgSession.objects.filter(organisation=organisation_id).first()
        session = drafts.save_org_session(replace(draft, extra=stored.extra) if stored else draft)
        return Response(session_document(session))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organisation_id: str) -> Response:
        """No org session: no organisation limit."""
        keys.delete_org_session(find_session(organisation_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class OrganisationResetView(APIView):
    @extend_schema(request=ReasonShape, responses=ResetShape)
    def post(self, request: Request, organisation_id: str) -> Response:
        """Usage becomes 0; a new period begins with the next request."""
        session, reason = find_session(organisation_id), reason_of(request)
        used = reset_or_refuse(lambda: usage.reset_organisation_quota(session.organisation))
        logger.info("quota of organisation %s reset by %s, %d used: %s", organisation_id, who(request), used, reason)
        return Response({"id": organisation_id, "used": used})


def session_document(session: OrgSession) -> dict[str, Any]:
    shown = org_session_to_tyk(session, live_organisation_usage(session.organisation))
    return {name: value for name, value in shown.items() if name in SessionShape().fields}


def find_organisation(organisation_id: str) -> Organisation:
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is None:
        raise NotFound("There is no such organisation.")
    return organisation


def find_session(organisation_id: str) -> OrgSession:
    find_organisation(organisation_id)
    session = OrgSession.objects.select_related("organisation").filter(organisation=organisation_id).first()
    if session is None:
        raise NotFound("This organisation has no session; PUT makes one.")
    return session


# --- steps of the views -----------------------------------------------------------------------------------------------


def split(data: Any) -> tuple[Any, int | None]:
    """The session's members, and the application. Members that are only answered are passed over."""
    reader = Reader(data)
    application_id = reader.whole("application_id", low=0, high=2**63 - 1, meaning=" (an application's id)")
    reader.finish()
    taken = ANSWERED_ONLY | {"application_id", "key"}
    return {name: value for name, value in data.items() if name not in taken}, application_id or None


def checked(draft: SessionDraft, unchanged: frozenset[str] = frozenset()) -> SessionDraft:
    """Here, unlike in Tyk's dialect, organisation and APIs must exist. `unchanged` are APIs that the key had.

    Raises DocumentError.
    """
    if not draft.has_access:
        raise refusal("/access_rights", NO_ACCESS, "required")
    if not Organisation.objects.filter(pk=draft.organisation_id).exists():
        raise refusal("/org_id", f"{draft.organisation_id} is no organisation that exists", "does_not_exist")
    named = {right.api_id for right in draft.rights} - unchanged
    unknown = named - set(Api.objects.filter(pk__in=named).values_list("pk", flat=True))
    for api_id in sorted(unknown):
        raise refusal(f"/access_rights/{api_id}", f"{api_id} is no API that exists", "does_not_exist")
    return draft


def own_apis(key: Key) -> frozenset[str]:
    return frozenset(key.access.values_list("api_id", flat=True))


def check_application(application_id: int | None, organisation_id: str) -> None:
    if application_id is None:
        return
    if not Application.objects.filter(pk=application_id, organisation=organisation_id).exists():
        raise refusal("/application_id", f"{application_id} is no application of {organisation_id}", "does_not_exist")


def living(key: Key) -> Key:
    if key.revoked_at is not None:
        raise Conflict(f"This key was revoked at {key.revoked_at.isoformat()}; make a new one.")
    return key


def reason_of(request: Request) -> str:
    reader = Reader(request.data)
    reason = reader.text("reason", longest=500)
    reader.refuse_rest()
    reader.finish()
    return reason


def who(request: Request) -> str:
    return str(getattr(request.user, "name", "") or request.user)


def reset_or_refuse(reset: Callable[[], int]) -> int:
    try:
        return reset()
    except StoreUnavailable:
        raise Unavailable(STORE_SILENT) from None
