"""API definitions and policies over Tyk's gateway API. Changes hold with the next request; `reload` is not needed."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import re_path

from organisations_app.tyk_view import TykError, TykView, answer_written, body_of
from policies_app import catalogue
from policies_app.drafts import api_names, save_api_draft, save_policy_draft
from policies_app.models import Api, Policy
from policies_app.tyk import api_from_tyk, api_to_tyk, policy_from_tyk, policy_to_tyk

NO_API = "API not found"
NO_POLICY = "Policy not found"
OTHER_API = "Request APIID does not match that in Definition! For Update operations these must match."
OTHER_POLICY = "Request ID does not match that in policy! For Update operations these must match."


class ApiList(TykView):
    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse([api_to_tyk(api) for api in Api.objects.all()], safe=False)

    def post(self, request: HttpRequest) -> JsonResponse:
        api = save_api_draft(api_from_tyk(body_of(request)))
        return answer_written(api.pk, "added")


class ApiDetail(TykView):
    def get(self, request: HttpRequest, api_id: str) -> JsonResponse:
        return JsonResponse(api_to_tyk(find_api(api_id)))

    @transaction.atomic
    def put(self, request: HttpRequest, api_id: str) -> JsonResponse:
        api = find_api(api_id)
        draft = api_from_tyk(body_of(request), api_id=api_id, organisation_id=api.organisation_id)
        if draft.id != api_id:
            raise TykError(400, OTHER_API)
        save_api_draft(draft)
        return answer_written(api_id, "modified")

    @transaction.atomic
    def delete(self, request: HttpRequest, api_id: str) -> JsonResponse:
        catalogue.delete_api(find_api(api_id))
        return answer_written(api_id, "deleted")


class PolicyList(TykView):
    def get(self, request: HttpRequest) -> JsonResponse:
        policies = list(Policy.objects.prefetch_related("access"))
        names = api_names(right.api_id for policy in policies for right in policy.access.all())
        return JsonResponse([policy_to_tyk(policy, policy.access.all(), names) for policy in policies], safe=False)

    def post(self, request: HttpRequest) -> JsonResponse:
        policy = save_policy_draft(policy_from_tyk(body_of(request)))
        return answer_written(policy.pk, "added")


class PolicyDetail(TykView):
    def get(self, request: HttpRequest, policy_id: str) -> JsonResponse:
        policy = find_policy(policy_id)
        rights = list(policy.access.all())
        return JsonResponse(policy_to_tyk(policy, rights, api_names(right.api_id for right in rights)))

    def post(self, request: HttpRequest, policy_id: str) -> JsonResponse:
        """Tyk takes this as a POST of the list: the id in the body counts."""
        policy = save_policy_draft(policy_from_tyk(body_of(request), policy_id=policy_id))
        return answer_written(policy.pk, "added")

    def put(self, request: HttpRequest, policy_id: str) -> JsonResponse:
        """As in Tyk, a policy that does not exist is made."""
        draft = policy_from_tyk(body_of(request), policy_id=policy_id)
        if draft.id != policy_id:
            raise TykError(400, OTHER_POLICY)
        save_policy_draft(draft)
        return answer_written(policy_id, "modified")

    @transaction.atomic
    def delete(self, request: HttpRequest, policy_id: str) -> JsonResponse:
        catalogue.delete_policy(find_policy(policy_id))
        return answer_written(policy_id, "deleted")


def find_api(api_id: str) -> Api:
    api = Api.objects.filter(pk=api_id).first()
    if api is None:
        raise TykError(404, NO_API)
    return api


def find_policy(policy_id: str) -> Policy:
    policy = Policy.objects.filter(pk=policy_id).first()
    if policy is None:
        raise TykError(404, NO_POLICY)
    return policy


urlpatterns = [
    re_path(r"^apis/?$", ApiList.as_view()),
    re_path(r"^apis/(?P<api_id>[^/]+)/?$", ApiDetail.as_view()),
    re_path(r"^policies/?$", PolicyList.as_view()),
    re_path(r"^policies/(?P<policy_id>[^/]+)/?$", PolicyDetail.as_view()),
]
