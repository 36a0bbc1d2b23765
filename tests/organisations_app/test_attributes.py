"""Custom attributes of developers and the metadata of provisioned keys."""

import pytest
from django.contrib.auth.models import User

from organisations_app.attributes import attribute_errors
from organisations_app.models import Application, AttributeDefinition, Developer, Organisation
from organisations_app.provisioning import carried_attributes, provisioned_meta_data
from sessions_app.keys import create_key
from sessions_app.models import Key

pytestmark = pytest.mark.django_db


@pytest.fixture
def application():
    acme = Organisation.objects.create(id="acme", name="Acme")
    AttributeDefinition.objects.create(name="plan", kind="string", is_required=True, add_to_key_metadata=True)
    AttributeDefinition.objects.create(name="seats", kind="number")
    AttributeDefinition.objects.create(name="beta", kind="boolean", add_to_key_metadata=True)
    AttributeDefinition.objects.create(name="teams", kind="list", add_to_key_metadata=True)
    developer = Developer.objects.create(
        organisation=acme,
        user=User.objects.create(username="ada"),
        attributes={"plan": "gold", "seats": 3, "beta": False},
    )
    return Application.objects.create(organisation=acme, developer=developer, name="shop")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "plan is required"),
        ({"plan": ""}, "plan is required"),
        ({"plan": 7}, "plan must be a text"),
        ({"plan": "x", "seats": "3"}, "seats must be a number"),
        ({"plan": "x", "seats": True}, "seats must be a number"),
        ({"plan": "x", "beta": "yes"}, "beta must be true or false"),
        ({"plan": "x", "teams": ["a", 1]}, "teams must be a list of texts"),
        ({"plan": "x", "other": 1}, "other is not defined; defined are: beta, plan, seats, teams"),
        ([], "must be a JSON object"),
    ],
)
def test_refuses_what_is_not_defined_and_says_what_is(application, attributes, words):
    [error] = attribute_errors(attributes, AttributeDefinition.objects.all())
    assert words in error


def test_accepts_what_fits_and_may_be_left_out(application):
    assert (
        attribute_errors({"plan": "x", "beta": False, "teams": [], "seats": None}, AttributeDefinition.objects.all())
        == []
    )


def test_a_key_of_an_application_says_whose_it_is_and_what_metadata_was_given_wins(application):
    key = Key(organisation=application.organisation, application=application, meta_data={"plan": "own"})
    create_key(key)
    key.refresh_from_db()
    assert key.meta_data == {
        "ApplicationID": str(application.pk),
        "DeveloperID": str(application.developer_id),
        "OrganisationID": "acme",
        "beta": False,
        "plan": "own",
    }
    assert "seats" not in provisioned_meta_data(application, carried_attributes())


def test_a_key_without_an_application_carries_nothing(application):
    key = Key(organisation=application.organisation)
    create_key(key)
    assert key.meta_data == {}
