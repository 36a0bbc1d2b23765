"""Who is in the demo: Acme, two developers with logins and applications, and staff. Made once, never changed back."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from organisations_app.models import Application, Developer, Organisation, StaffConfinement
from organisations_app.organisations import save_organisation
from organisations_app.roles import AUDITOR, OPERATOR, SUPPORT

ORGANISATION_ID = "acme"
# (login, password, e-mail, may use the admin, role): the owner is also the demo's administrator.
LOGINS = (
    ("admin", "demo-admin", "owner@acme.example", True, Developer.Role.ADMIN),
    ("developer", "demo-developer", "developer@acme.example", False, Developer.Role.MEMBER),
)
# A member of staff for each role, with a password like the others; who supports Acme sees nobody else.
STAFF = ((OPERATOR, False), (SUPPORT, True), (AUDITOR, False))
# (login, name, description)
APPLICATIONS = (
    ("developer", "Storefront", "The web shop: product search and stock levels."),
    ("developer", "Mobile app", "Orders and tracking on the phone."),
    ("admin", "Back office", "Nightly exports to the warehouse."),
)


def make_acme() -> Organisation:
    organisation = Organisation.objects.filter(pk=ORGANISATION_ID).first()
    if organisation is None:
        organisation = Organisation(pk=ORGANISATION_ID, name="Acme", timezone="Europe/Berlin")
        save_organisation(organisation)
    return organisation


def make_developers(organisation: Organisation) -> dict[str, Developer]:
    """Developers by login. A login that exists already keeps its password."""
    return {login[0]: _make_developer(organisation, *login) for login in LOGINS}


def _make_developer(
    organisation: Organisation, username: str, password: str, address: str, is_admin: bool, role: str
) -> Developer:
    users = get_user_model().objects
    user = users.filter(username=username).first()
    if user is None:
        make = users.create_superuser if is_admin else users.create_user
        user = make(username, address, password)
    developer, _ = Developer.objects.get_or_create(user=user, defaults={"organisation": organisation, "role": role})
    return developer


def make_staff(organisation: Organisation) -> None:
    """A login that exists already keeps its password, its roles and its confinement."""
    users = get_user_model().objects
    for role, is_confined in STAFF:
        if users.filter(username=role).exists():
            continue
        user = users.create_user(role, f"{role}@acme.example", f"demo-{role}", is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        if is_confined:
            StaffConfinement.objects.create(user=user).organisations.add(organisation)


def make_applications(organisation: Organisation, developers: dict[str, Developer]) -> dict[str, Application]:
    """Applications by name."""
    applications = {}
    for login, name, description in APPLICATIONS:
        defaults = {"organisation": organisation, "description": description}
        applications[name], _ = Application.objects.get_or_create(
            developer=developers[login], name=name, defaults=defaults
        )
    return applications
