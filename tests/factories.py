"""The cast of all tests: Acme with an admin and a member, and Globex outside.

Everything else belongs to Acme unless told otherwise.
"""

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory

from monitors_app.models import Monitor
from organisations_app.models import Application, Developer, Organisation
from sessions_app.models import Key


class AcmeFactory(DjangoModelFactory[Organisation]):
    class Meta:
        model = Organisation
        django_get_or_create = ("id",)

    id = "acme"
    name = "Acme"
    timezone = "Europe/Berlin"


class GlobexFactory(AcmeFactory):
    id = "globex"
    name = "Globex"
    timezone = "UTC"


class PersonFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        django_get_or_create = ("username",)

    username = factory.Sequence(lambda number: f"person{number}")
    email = factory.LazyAttribute(lambda person: f"{person.username}@example.com")


class MemberFactory(DjangoModelFactory[Developer]):
    class Meta:
        model = Developer
        django_get_or_create = ("user",)

    organisation = factory.SubFactory(AcmeFactory)
    user = factory.SubFactory(PersonFactory, username="member")
    role = "member"


class AdminFactory(MemberFactory):
    user = factory.SubFactory(PersonFactory, username="admin-of-acme")
    role = "admin"


class OutsiderFactory(AdminFactory):
    organisation = factory.SubFactory(GlobexFactory)
    user = factory.SubFactory(PersonFactory, username="admin-of-globex")


class AppFactory(DjangoModelFactory[Application]):
    """The member's."""

    class Meta:
        model = Application
        django_get_or_create = ("developer", "name")

    name = "App"
    developer = factory.SubFactory(MemberFactory)
    organisation = factory.SelfAttribute("developer.organisation")


class KeyFactory(DjangoModelFactory[Key]):
    """A key's row only: without credential, limits or access. `sessions_app.keys.create_key` makes a key that works."""

    class Meta:
        model = Key

    organisation = factory.SelfAttribute("application.organisation")
    application = factory.SubFactory(AppFactory)


class MonitorFactory(DjangoModelFactory[Monitor]):
    """Watches everything of everybody and sends e-mails only, until it is given a target."""

    class Meta:
        model = Monitor

    name = "Monitor"
