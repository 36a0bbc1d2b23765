"""What all resources of `/api/v1` share: scope, tenancy, answers that are given once, ETags, and the audit."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from rest_framework import mixins, serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from organisations_app import audit
from organisations_app.audit import Subject
from organisations_app.rest import idempotency
from organisations_app.rest.authentication import actor_of, organisations_of, reach_of
from organisations_app.rest.entity_tags import check_match, entity_tag
from organisations_app.rest.views import ID
from organisations_app.tenancy import within

Row = TypeVar("Row", bound=Model)


class ScopedView(APIView):
    """`scope` is the resource that a token must have a scope for. A POST with an `Idempotency-Key` is answered once.

    `may_refuse` are statuses of its refusals beside those that follow from what it takes (see DocumentedSchema).
    `reads` is for views that only read whatever the method: the resources that a token must have a `:read` scope for.
    """

    scope = ""
    reads: tuple[str, ...] = ()
    answers_once = True
    may_refuse: tuple[int, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and self.answers_once and idempotency.HEADER in request.headers:
            handler = getattr(self, "post", self.http_method_not_allowed)
            setattr(self, "post", partial(_once, handler))  # noqa: B010  (mypy: no such attribute)

    @property
    def organisation_id(self) -> str | None:
        """The organisation that a writer is bound to; None is all."""
        return reach_of(self.request).organisation_id

    @property
    def organisations(self) -> Collection[str] | None:
        """Those that the sender may see; None is all."""
        return organisations_of(self.request)

    def record(
        self,
        action: str,
        subject: Subject,
        reason: str = "",
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds an entry to the audit; of a change only the members that differ."""
        was, became = audit.difference(before or {}, after or {})
        audit.record(actor_of(self.request), action, subject, reason, before=was, after=became)


def _once(handler: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
    return idempotency.once(request, handler, *args, **kwargs)


def answer(
    document: Mapping[str, Any], code: int = status.HTTP_200_OK, *, shown_once: Mapping[str, Any] | None = None
) -> Response:
    """One object with its ETag. `shown_once` are secrets that only this answer has."""
    return Response({**document, **(shown_once or {})}, status=code, headers={"ETag": entity_tag(document)})


class Resource(ScopedView, GenericViewSet[Row]):
    """Rows of one model. `tenancy` are the lookups that lead from a row to the id of its organisation."""

    tenancy: tuple[str, ...] = ("organisation",)
    lookup_value_regex = ID

    def get_queryset(self) -> QuerySet[Row]:
        return within(super().get_queryset(), self.organisations, *self.tenancy)

    def document(self, row: Row) -> dict[str, Any]:
        """The row as it is answered, without what is shown only once."""
        return dict(self.get_serializer(row).data)

    def locked(self) -> Row:
        """The row of the address, to be changed in the running transaction. Raises Changed if `If-Match` says so."""
        rows = self.get_queryset().select_for_update(of=("self",))
        row: Row = get_object_or_404(rows, pk=self.kwargs["pk"])
        check_match(self.request, self.document(row))
        return row


class ModelResource(mixins.ListModelMixin, Resource[Row]):
    """A model whose rows can be listed, read, made, changed and deleted.

    DRF's own mixins for writing know neither ETags nor transactions nor the audit.
    """

    kind = ""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return answer(self.document(self.get_object()))

    @transaction.atomic
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        row = serializer.save()
        document = self.document(row)
        self.record("create", self.subject_of(row), after=document)
        return answer(document, status.HTTP_201_CREATED, shown_once=self.shown_once(serializer))

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(request, partial=False)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Changes the members that are sent."""
        return self._change(request, partial=True)

    @transaction.atomic
    def _change(self, request: Request, *, partial: bool) -> Response:
        row = self.locked()
        before = self.document(row)
        serializer = self.get_serializer(row, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        row = serializer.save()
        document = self.document(row)
        self.record("change", self.subject_of(row), before=before, after=document)
        return answer(document, shown_once=self.shown_once(serializer))

    @transaction.atomic
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.locked()
        subject, before = self.subject_of(row), self.document(row)
        self.remove(row)
        self.record("delete", subject, before=before)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def remove(self, row: Row) -> None:
        """Removes the row with all that it owns."""
        raise NotImplementedError

    def shown_once(self, serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
        """Secrets that were made just now."""
        return {}

    def subject_of(self, row: Row) -> Subject:
        """As the audit names the row."""
        return Subject(self.kind, str(row.pk), str(getattr(row, "organisation_id", "") or ""))
