"""`/api/v1/keys`: session objects with Tyk's names and live usage."""

from dataclasses import asdict
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.documents import Reader, refusal
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.resources import Resource, answer
from organisations_app.tenancy import within
from policies_app.models import Api
from sessions_app import bulk, corrections, custody
from sessions_app import explain as explanations
from sessions_app.api.key_documents import key_documents, new_key_documents, quotas_of
from sessions_app.api.key_filters import KeyFilter
from sessions_app.api.period import PERIOD_PARAMETERS, period_of
from sessions_app.api.references import read_references
from sessions_app.api.steps import living, reason_of, split, stored
from sessions_app.documents import live_usage, stored_documents
from sessions_app.drafts import WantedKey
from sessions_app.models import Key, UsageHour
from sessions_app.new_keys import row_of_its_own
from sessions_app.queries import keys_naming
from sessions_app.shapes import (
    MAX_OVERLAP_SECONDS,
    BulkShape,
    ExplanationShape,
    KeyShape,
    KeyUsageShape,
    NewKeyShape,
    NewKeysShape,
    ReasonShape,
    RemainingSetShape,
    RemainingShape,
    ResetShape,
    RotateShape,
)
from sessions_app.terms import HOLDER, holders_of
from sessions_app.tyk import session_from_tyk
from sessions_app.usage_series import in_period, summed


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
        wanted = _wanted(request.data)
        references = read_references([wanted], self.organisation_id)
        references.check(wanted)
        with row_of_its_own():
            made = custody.create_keys([wanted], actor_of(request), references.known)
        [document] = new_key_documents(made, references.known.policies)
        return answer(document, status.HTTP_201_CREATED, shown_once={"key": made[0][1]})

    @extend_schema(request=BulkShape, responses={201: NewKeysShape})
    @action(detail=False, methods=["post"])
    @transaction.atomic
    def bulk(self, request: Request) -> Response:
        """Up to 1,000 new keys: all of them, or none. What is wrong is named with the row that it is in."""
        rows = bulk.Rows()
        wanted = rows.each(enumerate(bulk.read_rows(request.data)), _wanted)
        references = read_references(wanted.values(), self.organisation_id)
        rows.each(wanted.items(), references.check)
        rows.finish()
        with bulk.naming_rows():
            made = custody.create_keys(list(wanted.values()), actor_of(request), references.known)
        documents = zip(new_key_documents(made, references.known.policies), made, strict=True)
        keys = [{**document, "key": raw} for document, (_, raw) in documents]
        return Response({"keys": keys}, status=status.HTTP_201_CREATED)

    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes the members that are sent; usage stays."""
        key = living(self.locked())
        sent, application_id = split(request.data)
        session_from_tyk(sent, organisation_id=key.organisation_id, strict=True)
        draft = session_from_tyk({**stored_documents([key])[key.pk], **sent})
        wanted = WantedKey(draft, application_id)
        had_apis = set(key.access.values_list("api_id", flat=True))
        had_policies = set(key.key_policies.values_list("policy_id", flat=True))
        read_references([wanted], self.organisation_id).check(wanted, had_apis, had_policies)
        if "application_id" in request.data:
            key.application_id = application_id
        custody.change_key(key, draft, actor_of(request))
        return answer(self.document(key))

    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Unlike revoking, this forgets the key and its usage history, too."""
        custody.delete_key(self.locked(), actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    # --- verbs --------------------------------------------------------------------------------------------------------

    @extend_schema(request=ReasonShape, responses=ResetShape)
    @action(detail=True, methods=["post"], url_path="reset-quota", may_refuse=(503,))
    def reset_quota(self, request: Request, pk: str) -> Response:
        """Usage becomes 0 on every quota counter that the key uses, also a shared one.

        A new period begins with the next request.
        """
        key, reason = living(self.get_object()), reason_of(request)
        used = stored(lambda: corrections.reset_quota(key, actor_of(request), reason))
        return Response({"id": key.pk, "used": used})

    @extend_schema(request=RemainingShape, responses=RemainingSetShape)
    @action(detail=True, methods=["post"], url_path="set-remaining", may_refuse=(503,))
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
    @action(detail=True, methods=["get"], may_refuse=(503,))
    def explain(self, request: Request, pk: str) -> Response:
        """Why the key may do on the API `api` what it may: each limit in force, whose it is, and who counts with it."""
        key, api_id = self.get_object(), request.query_params.get("api", "")
        if unknown := sorted(set(request.query_params) - {"api"}):
            raise refusal(f"/{unknown[0]}", "is no parameter here; known is api", "unknown")
        if not api_id:
            raise refusal("/api", "is required: the id of an API", "required")
        api = Api.objects.filter(pk=api_id).first() if "\0" not in api_id else None
        if api is None or not self._may_see(api, key):
            raise NotFound("There is no such API.")
        return Response(asdict(stored(lambda: explanations.explain(key, api))))

    def _may_see(self, api: Api, key: Key) -> bool:
        """Who is bound to an organisation sees its APIs, and others where the key has access to them."""
        own = within(Api.objects.filter(pk=api.pk), self.organisations, "organisation")
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


def _wanted(row: Any) -> WantedKey:
    document, application_id = split(row)
    return WantedKey(session_from_tyk(document, strict=True), application_id)
