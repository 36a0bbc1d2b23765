"""Who sees whose rows."""

import pytest
from django.contrib.auth.models import AnonymousUser, User

from organisations_app.models import Application
from organisations_app.tenancy import applications_of, developer_of, owned
from sessions_app.models import Key
from tests.factories import AdminFactory, AppFactory, KeyFactory, MemberFactory, OutsiderFactory

pytestmark = pytest.mark.django_db


def test_a_login_is_a_developer_only_by_its_own_row():
    member = MemberFactory.create()
    assert developer_of(member.user) == member
    assert developer_of(User.objects.create_superuser("root")) is None
    assert developer_of(AnonymousUser()) is None


def test_a_developer_owns_the_keys_of_their_own_applications_only():
    member, colleague, outsider = MemberFactory.create(), AdminFactory.create(), OutsiderFactory.create()
    own = KeyFactory.create(application=AppFactory.create(developer=member))
    KeyFactory.create(application=AppFactory.create(developer=colleague))
    KeyFactory.create(application=AppFactory.create(developer=outsider))
    KeyFactory.create(application=None, organisation=member.organisation)
    assert list(owned(Key.objects.all(), member)) == [own]
    assert list(applications_of(member)) == [own.application]


def test_an_application_that_slipped_into_another_organisation_shows_nothing():
    member, outsider = MemberFactory.create(), OutsiderFactory.create()
    key = KeyFactory.create(application=AppFactory.create(developer=member))
    Application.objects.update(organisation=outsider.organisation)
    assert list(owned(Key.objects.filter(pk=key.pk), member)) == []
    assert list(applications_of(member)) == []
