"""`/api/v1/keys`: session objects with Tyk's names and live usage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.documents import Reader, refusal
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.filters import Flag
from organisations_app.rest.resources import Resource, answer
from organisations_app.tenancy import within
from policies_app.models import Api
from sessions_app import bulk, corrections, custody
from sessions_app import explain as explanations
from sessions_app.api.period import PERIOD_PARAMETERS, period_of
from sessions_app.api.steps import check_application, checked, living, reason_of, split, stored
from sessions_app.documents import computed_documents, live_usage, stored_documents
from sessions_app.drafts import SessionDraft
from sessions_app.models import Credential, Key, UsageHour
from sessions_app.queries import keys_naming
from sessions_app.shapes import (
    MAX_OVERLAP_SECONDS,
    BulkShape,
    ExplanationShape,
    KeyShape,
    KeyUsageShape,
    NewKeyShape,
    NewKeysShape,
    QuotaShape,
    ReasonShape,
    RemainingSetShape,
    RemainingShape,
    ResetShape,
    RotateShape,
)
from sessions_app.terms import HOLDER, holders_of
from sessions_app.tyk import session_from_tyk
from sessions_app.usage_series import in_period, summed


class KeyFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    alias = django_filters.CharFilter()
    application_id = django_filters.NumberFilter()
    developer_id = django_filters.NumberFilter(field_name="application__developer_id")
    policy = django_filters.CharFilter(field_name="key_policies__policy_id")
    api = django_filters.CharFilter(method="of_api")
    key_hash = django_filters.CharFilter(field_name="credentials__digest")
    is_inactive = Flag()
    revoked = Flag(field_name="revoked_at", lookup_expr="isnull", exclude=True)
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    expires_before = django_filters.IsoDateTimeFilter(field_name="expires_at", lookup_expr="lt")

    def of_api(self, rows: QuerySet[Key], name: str, value: str) -> QuerySet[Key]:
        return rows.filter(pk__in=keys_naming(value).values("pk"))


@extend_schema_view(
    create=extend_schema(request=KeyShape, responses={201: NewKeyShape}),
    partial_update=extend_schema(request=KeyShape, responses=KeyShape),
)
class KeyViewSet(Resource[Key]):
    """Keys. `id` is public; the raw key is in the answer to create and rotate only."""

    scope = "keys"
    queryset = Key.objects.select_related(HOLDER)
    serializer_class = KeyShape
    filterset_class = KeyFilter
    ordering = ["-created_at", "id"]
    ordering_fields = ["created_at", "id", "alias"]

    def document(self, row: Key) -> dict[str, Any]:
        return key_documents([row])[0]

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(key_documents(page))

    def retrieve(self, request: Request, pk: str) -> Response:
        return answer(self.document(self.get_object()))

    @transaction.atomic
    def create(self, request: Request) -> Response:
        key, token = self._make(self._new_draft(request.data))
        return answer(self.document(key), status.HTTP_201_CREATED, shown_once={"key": token})

    def _new_draft(self, row: Any) -> tuple[SessionDraft, int | None]:
        document, application_id = split(row)
        draft = checked(session_from_tyk(document, strict=True), self.organisation_id)
        check_application(application_id, draft.organisation_id)
        return draft, application_id

    def _make(self, new: tuple[SessionDraft, int | None]) -> tuple[Key, str]:
        draft, application_id = new
        return custody.create_key(draft, actor_of(self.request), application_id=application_id)

    @extend_schema(request=BulkShape, responses={201: NewKeysShape})
    @action(detail=False, methods=["post"])
    @transaction.atomic
    def bulk(self, request: Request) -> Response:
        """Up to 1,000 new keys: all of them, or none. What is wrong is named with the row that it is in."""
        drafts = bulk.each(bulk.read_rows(request.data), self._new_draft)
        made = bulk.each(drafts, self._make)
        documents = key_documents(read_keys([key.pk for key, _ in made]))
        keys = [{**document, "key": token} for document, (_, token) in zip(documents, made, strict=True)]
        return Response({"keys": keys}, status=status.HTTP_201_CREATED)

    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes the members that are sent; usage stays."""
        key = living(self.locked())
        sent, application_id = split(request.data)
        session_from_tyk(sent, organisation_id=key.organisation_id, strict=True)
        draft = session_from_tyk({**stored_documents([key])[key.pk], **sent})
        if "application_id" in request.data:
            check_application(application_id, key.organisation_id)
            key.application_id = application_id
        custody.change_key(key, checked(draft, self.organisation_id, key), actor_of(request))
        return answer(self.document(key))

    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Unlike revoking, this forgets the key and its usage history, too."""
        custody.delete_key(self.locked(), actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    # --- verbs --------------------------------------------------------------------------------------------------------

    @extend_schema(request=ReasonShape, responses=ResetShape)
    @action(detail=True, methods=["post"], url_path="reset-quota")
    def reset_quota(self, request: Request, pk: str) -> Response:
        """Usage becomes 0 on every quota counter that the key uses, also a shared one.

        A new period begins with the next request.
        """
        key, reason = living(self.get_object()), reason_of(request)
        used = stored(lambda: corrections.reset_quota(key, actor_of(request), reason))
        return Response({"id": key.pk, "used": used})

    @extend_schema(request=RemainingShape, responses=RemainingSetShape)
    @action(detail=True, methods=["post"], url_path="set-remaining")
    def set_remaining(self, request: Request, pk: str) -> Response:
        """What is left of the key's quota, or of the one that counts `api_id`. The running period goes on."""
        key, reader = living(self.get_object()), Reader(request.data)
        remaining = reader.raw("quota_remaining")
        reason, api_id = reader.text("reason", longest=500), reader.text("api_id") or None
        if remaining is None:
            reader.refuse("quota_remaining", "is required: a whole number from 0 to the quota's maximum", "required")
        reader.refuse_rest()
        reader.finish()
        before = stored(lambda: corrections.set_remaining(key, remaining, actor_of(request), reason, api_id=api_id))
        return Response({"id": key.pk, "quota_remaining": remaining, "quota_remaining_before": before})

    @extend_schema(request=RotateShape, responses=NewKeyShape)
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret for the same key; counters stay. Older secrets work for `overlap_seconds` more."""
        key, reader = living(self.locked()), Reader(request.data)
        overlap = reader.whole("overlap_seconds", low=0, high=MAX_OVERLAP_SECONDS, meaning=" of seconds")
        reason = reader.text("reason", longest=500)
        reader.refuse_rest()
        reader.finish()
        token = custody.rotate_key(key, overlap, actor_of(request), reason)
        return answer(self.document(key), shown_once={"key": token})

    @extend_schema(request=ReasonShape, responses=KeyShape)
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def revoke(self, request: Request, pk: str) -> Response:
        """From the next request on nobody knows this key; its history stays. Repeating it changes nothing."""
        key, reason = self.locked(), reason_of(request)
        custody.revoke_key(key, actor_of(request), reason)
        return answer(self.document(key))

    @extend_schema(parameters=[OpenApiParameter("api", str, required=True)], responses=ExplanationShape)
    @action(detail=True, methods=["get"])
    def explain(self, request: Request, pk: str) -> Response:
        """Why the key may do on the API `api` what it may: each limit in force, whose it is, and who counts with it."""
        key, api_id = self.get_object(), request.query_params.get("api", "")
        if not api_id:
            raise refusal("/api", "is required: the id of an API", "required")
        api = Api.objects.filter(pk=api_id).first() if "\0" not in api_id else None
        if api is None or not self._may_see(api, key):
            raise NotFound("There is no such API.")
        return Response(asdict(stored(lambda: explanations.explain(key, api))))

    def _may_see(self, api: Api, key: Key) -> bool:
        """Who is bound to an organisation sees its APIs, and others where the key has access to them."""
        own = within(Api.objects.filter(pk=api.pk), self.organisation_id, "organisation")
        return own.exists() or keys_naming(api.pk).filter(pk=key.pk).exists()

    @extend_schema(parameters=PERIOD_PARAMETERS, responses=KeyUsageShape)
    @action(detail=True, methods=["get"])
    def usage(self, request: Request, pk: str) -> Response:
        """Requests by the hour in [`from`, `to`), the last day unless told otherwise, and the live quotas."""
        key, (begin, end) = self.get_object(), period_of(request)
        series = summed(in_period(UsageHour.objects.filter(key=key.pk), begin, end), "hour").order_by("hour")
        rows = [{"hour": row["hour"], "passed": row["passed_sum"], "denied": row["denied_sum"]} for row in series]
        totals = {name: sum(row[name] for row in rows) for name in ("passed", "denied")}
        live = live_usage(holders_of([key]))
        return Response(
            {"id": key.pk, "from": begin, "to": end, "totals": totals, "series": rows, **quotas_of(key.pk, live)}
        )


def key_documents(page: Sequence[Key]) -> list[dict[str, Any]]:
    """Keys as this API shows them: session members, computed and live."""
    holders = holders_of(page)
    live = live_usage(holders)
    computed = computed_documents(holders, live)
    secrets = newest_credentials(page)
    return [
        {
            "id": key.pk,
            "key_hash": secrets[key.pk].digest if key.pk in secrets else "",
            "key_hint": secrets[key.pk].hint if key.pk in secrets else "",
            "application_id": key.application_id,
            **{name: value for name, value in computed[key.pk].items() if name in KEY_MEMBERS},
            **quotas_of(key.pk, live, "usage"),
            "revoked_at": key.revoked_at,
        }
        for key in page
    ]


KEY_MEMBERS = frozenset(KeyShape().fields)


def quotas_of(key_id: str, live: Mapping[str, Sequence[Any]] | None, name: str = "quotas") -> dict[str, Any]:
    """Live quotas under `name`; left out while the store does not answer."""
    return {} if live is None else {name: [QuotaShape(quota).data for quota in live[key_id]]}


def read_keys(key_ids: Sequence[str]) -> list[Key]:
    """Keys with what their holders need, in this order."""
    found = Key.objects.select_related(HOLDER).in_bulk(key_ids)
    return [found[key_id] for key_id in key_ids]


def newest_credentials(page: Sequence[Key]) -> dict[str, Credential]:
    return {
        credential.key_id: credential
        for credential in Credential.objects.filter(key__in=page).order_by("created_at", "id")
    }
