"""Permissions as people give them: those that mean something here, by what they are about.

Django makes four for each table. Most tables are parts of something else (a key's access rights), internals (sessions),
or never changed in the admin (the audit).
"""

from collections.abc import Collection, Iterable, Mapping

from django.apps import apps
from django.contrib.auth.models import Permission
from django.db.models import CASCADE, Model, Q, QuerySet

from organisations_app.roles import APPS

ACTIONS = ("view", "add", "change", "delete")
# What people give permissions for, in the order of the sidebar.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Access": ("sessions_app.key", "policies_app.policy", "policies_app.api"),
    "Customers": (
        "organisations_app.organisation",
        "sessions_app.orgsession",
        "organisations_app.developer",
        "organisations_app.application",
        "organisations_app.attributedefinition",
    ),
    "Warnings": ("monitors_app.monitor", "monitors_app.triggerevent", "monitors_app.delivery"),
    "Logins": ("auth.user", "auth.group", "organisations_app.admintoken", "organisations_app.auditentry"),
}
SUBJECTS = frozenset(label for labels in SECTIONS.values() for label in labels)
# Nobody may, whatever a permission says: it happened, or it is for superusers alone.
MEANINGLESS = frozenset(
    f"{app}.{action}_{model}"
    for app, model, actions in (
        ("monitors_app", "triggerevent", ("add", "change", "delete")),
        ("monitors_app", "delivery", ("add",)),
        ("organisations_app", "auditentry", ("add", "change", "delete")),
        ("auth", "group", ("add", "change", "delete")),
    )
    for action in actions
)
# Permissions with a meaning of their own, beside the verbs, whose names say theirs.
WORDS = {
    "monitors_app.change_delivery": "Send again",
    "monitors_app.delete_delivery": "Delete with their monitor or developer",
    "organisations_app.change_admintoken": "Hand on the scope tokens:write",
}


def offered() -> QuerySet[Permission]:
    """Those that a person may tick, with their content types."""
    subjects, never = Q(), Q()
    for label in SUBJECTS:
        app, _, model = label.partition(".")
        subjects |= Q(content_type__app_label=app, content_type__model=model)
    for name in MEANINGLESS:
        app, _, codename = name.partition(".")
        never |= Q(content_type__app_label=app, codename=codename)
    return Permission.objects.select_related("content_type").filter(subjects).exclude(never)


def name_of(permission: Permission) -> str:
    """As `has_perm` takes it."""
    return f"{permission.content_type.app_label}.{permission.codename}"


def label_of(permission: Permission) -> str:
    """The model that it is about, as in SECTIONS."""
    return f"{permission.content_type.app_label}.{permission.content_type.model}"


def action_of(permission: Permission) -> str:
    """One of ACTIONS; "" for a verb, or what has words of its own."""
    action = permission.codename.partition("_")[0]
    is_plain = permission.codename == f"{action}_{permission.content_type.model}" and name_of(permission) not in WORDS
    return action if action in ACTIONS and is_plain else ""


def words_of(permission: Permission) -> str:
    """What a verb allows: "Reset the quota of a key"."""
    words = WORDS.get(name_of(permission)) or permission.name.removeprefix("Can ")
    return words[:1].upper() + words[1:]


def completed(ticked: Collection[Permission], held: Collection[Permission]) -> list[Permission]:
    """What somebody has once these are `ticked`: with the parts of what they are about. Those that nobody is offered
    stay as they are `held`, unless they are parts of what is not ticked any more.
    """
    dropped = [each for each in held if _is_offered(each) and each not in ticked]
    gone = {each.pk for each in _parts(dropped)}
    kept = [each for each in held if not _is_offered(each) and each.pk not in gone]
    return list({each.pk: each for each in [*ticked, *_parts(ticked), *kept]}.values())


def _is_offered(permission: Permission) -> bool:
    return label_of(permission) in SUBJECTS and name_of(permission) not in MEANINGLESS


def _parts(permissions: Iterable[Permission]) -> list[Permission]:
    """The same actions upon the parts."""
    names = {
        f"{part.app_label}.{each.codename.partition('_')[0]}_{part.model_name}"
        for each in permissions
        if each.codename.endswith(f"_{each.content_type.model}")
        for part in (model._meta for model in _parts_of(label_of(each)))
    }
    known = Permission.objects.select_related("content_type").filter(content_type__app_label__in=APPS) if names else []
    return [each for each in known if name_of(each) in names]


def _parts_of(label: str) -> list[type[Model]]:
    """Models without a page of their own whose rows are deleted with rows of this one."""
    whole = apps.get_model(label)
    inner = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    return [model for model in inner if model._meta.label_lower not in SUBJECTS and _goes_with(model, whole)]


def _goes_with(model: type[Model], whole: type[Model]) -> bool:
    owners = [field for field in model._meta.concrete_fields if field.related_model is whole]
    return any(getattr(field.remote_field, "on_delete", None) is CASCADE for field in owners)
