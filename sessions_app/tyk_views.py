"""Keys and organisation sessions over Tyk's gateway API.

Tyk's rules about counters hold here: a write of a key resets them unless `suppress_reset=1`, a write of an organisation
only with `reset_quota=1`. Keys are listed by their hashes: raw keys are not stored.
"""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import re_path

from organisations_app.audit import ROOT
from organisations_app.tyk_view import TykError, TykView, answer_written, body_of, flag
from sessions_app import corrections, custody, drafts, keys, tokens
from sessions_app.documents import computed_document, computed_documents, live_organisation_usage
from sessions_app.drafts import SessionDraft
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, OrgSession
from sessions_app.queries import keys_naming, living_credentials
from sessions_app.terms import read_holders
from sessions_app.tyk import org_session_from_tyk, org_session_to_tyk, session_from_tyk

AS_TYK_DOES = "written over the Tyk API"  # why a write resets: the audit wants a reason
NO_ACCESS = "Failed to create key, keys must have at least one Access Rights record set."
NO_KEY = "Key not found"
NO_KEY_TO_CHANGE = "Key is not found"
NO_KEY_TO_DELETE = "There is no such key found"
NO_ORGANISATION = "Org not found"
NO_KEY_OF_HASH = "A key cannot be made from its hash: send the key itself, or the hash of a key that exists"
NOT_RESET = "The counter store does not answer, so the quota cannot be reset: nothing was changed. Try again later"


class KeyList(TykView):
    def get(self, request: HttpRequest) -> JsonResponse:
        found = living_credentials()
        if prefix := request.GET.get("filter"):
            found = found.filter(key__organisation__id__startswith=prefix)
        if api_id := request.GET.get("api_id"):
            found = found.filter(key__in=keys_naming(api_id))
        return JsonResponse({"keys": list(found.order_by("id").values_list("digest", flat=True))})

    def post(self, request: HttpRequest) -> JsonResponse:
        draft = checked(session_from_tyk(body_of(request)))
        _, token = custody.create_key(draft, ROOT)
        return answer_written(token, "added", tokens.digest(token))


class KeyCreate(TykView):
    def post(self, request: HttpRequest) -> JsonResponse:
        return KeyList().post(request)


class KeyPreview(TykView):
    """The session that such a key would have; keeps nothing."""

    def post(self, request: HttpRequest) -> JsonResponse:
        draft = session_from_tyk(body_of(request))
        with transaction.atomic():
            key, _ = drafts.create_key(draft)
            computed = computed_documents(read_holders([(key.organisation_id, key.pk)]), {})[key.pk]
            transaction.set_rollback(True)
        return JsonResponse(computed)


class KeyDetail(TykView):
    """`name` is the raw key, or with `hashed=true` its hash."""

    def get(self, request: HttpRequest, name: str) -> JsonResponse:
        key = find_key(request, name, NO_KEY)
        return JsonResponse(computed_document(key))

    def post(self, request: HttpRequest, name: str) -> JsonResponse:
        """Makes a custom key, or replaces the one that is there."""
        if flag(request, "hashed"):
            return self.replace(request, find_key(request, name, NO_KEY_OF_HASH, 400), name, "added")
        draft = checked(session_from_tyk(body_of(request)))
        with transaction.atomic():
            key, existed = custody.put_key(draft, name, ROOT)
            if existed:
                reset_unless_suppressed(request, key)
        return answer_written(name, "added", tokens.digest(name))

    def put(self, request: HttpRequest, name: str) -> JsonResponse:
        return self.replace(request, find_key(request, name, NO_KEY_TO_CHANGE), name, "modified")

    def replace(self, request: HttpRequest, key: Key, name: str, action: str) -> JsonResponse:
        draft = checked(session_from_tyk(body_of(request), organisation_id=key.organisation_id))
        with transaction.atomic():
            custody.change_key(key, draft, ROOT)
            reset_unless_suppressed(request, key)
        return answer_written(name, action, hash_of(request, name))

    def delete(self, request: HttpRequest, name: str) -> JsonResponse:
        custody.delete_key(find_key(request, name, NO_KEY_TO_DELETE), ROOT)
        return answer_written(name, "deleted", hash_of(request, name))


class OrganisationList(TykView):
    def get(self, request: HttpRequest) -> JsonResponse:
        found = OrgSession.objects.filter(organisation__id__startswith=request.GET.get("filter", ""))
        return JsonResponse({"keys": list(found.order_by("organisation_id").values_list("organisation_id", flat=True))})


class OrganisationDetail(TykView):
    def get(self, request: HttpRequest, organisation_id: str) -> JsonResponse:
        session = find_session(organisation_id)
        return JsonResponse(org_session_to_tyk(session, live_organisation_usage(session.organisation)))

    def post(self, request: HttpRequest, organisation_id: str) -> JsonResponse:
        return self.save(request, organisation_id, "added")

    def put(self, request: HttpRequest, organisation_id: str) -> JsonResponse:
        return self.save(request, organisation_id, "modified")

    def save(self, request: HttpRequest, organisation_id: str, action: str) -> JsonResponse:
        draft = org_session_from_tyk(body_of(request), organisation_id)
        with transaction.atomic():
            session = custody.save_org_session(draft, ROOT)
            if flag(request, "reset_quota"):
                reset_or_refuse(lambda: corrections.reset_organisation_quota(session.organisation, ROOT, AS_TYK_DOES))
        return answer_written(organisation_id, action)

    def delete(self, request: HttpRequest, organisation_id: str) -> JsonResponse:
        custody.delete_org_session(find_session(organisation_id), ROOT)
        return answer_written(organisation_id, "deleted")


# --- steps of the views -----------------------------------------------------------------------------------------------


def checked(draft: SessionDraft) -> SessionDraft:
    """Raises TykError for a session that opens nothing."""
    if not draft.has_access:
        raise TykError(400, NO_ACCESS)
    return draft


def find_key(request: HttpRequest, name: str, missing: str, status: int = 404) -> Key:
    """The key in the address. Raises TykError."""
    key = keys.find_by_hash(name) if flag(request, "hashed") else keys.find_by_token(name)
    if key is None:
        raise TykError(status, missing)
    return key


def hash_of(request: HttpRequest, name: str) -> str:
    return name if flag(request, "hashed") else tokens.digest(name)


def find_session(organisation_id: str) -> OrgSession:
    session = OrgSession.objects.select_related("organisation").filter(organisation=organisation_id).first()
    if session is None:
        raise TykError(404, NO_ORGANISATION)
    return session


def reset_unless_suppressed(request: HttpRequest, key: Key) -> None:
    if not flag(request, "suppress_reset"):
        reset_or_refuse(lambda: corrections.reset_quota(key, ROOT, AS_TYK_DOES))


def reset_or_refuse(reset: Callable[[], object]) -> None:
    """Inside the transaction, against the habit: a write whose reset fails must not stand."""
    try:
        reset()
    except StoreUnavailable:
        raise TykError(503, NOT_RESET) from None


urlpatterns = [
    re_path(r"^keys/?$", KeyList.as_view()),
    re_path(r"^keys/create/?$", KeyCreate.as_view()),
    re_path(r"^keys/preview/?$", KeyPreview.as_view()),
    re_path(r"^keys/(?P<name>.+?)/?$", KeyDetail.as_view()),
    re_path(r"^org/keys/?$", OrganisationList.as_view()),
    re_path(r"^org/keys/(?P<organisation_id>[^/]+)/?$", OrganisationDetail.as_view()),
]
