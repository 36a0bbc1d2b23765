"""Where an API would listen, seen beside all others: for forms, as one types."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError

from policies_app.models import Api, check_listen_path


@dataclass(frozen=True, slots=True)
class Place:
    """`problem` refuses the path; empty: it can be saved. The longest listen path takes a request: from `outer`, the
    nearest API above, it would take some, and the `inner` ones, below it, keep theirs.
    """

    problem: str = ""
    taken_by: Api | None = None
    outer: Api | None = None
    inner: tuple[Api, ...] = ()


MOST_NAMED = 3


def place_of(path: str, api_id: str) -> Place:
    """Of a path for this API; its own row is nobody's."""
    try:
        check_listen_path(path)
    except ValidationError as error:
        return Place(problem=" ".join(error.messages))
    others = Api.objects.exclude(pk=api_id)
    taken = others.filter(listen_path=path).first()
    if taken is not None:
        return Place(problem="Another API listens there already.", taken_by=taken)
    segments = path.strip("/").split("/")
    above = [f"/{'/'.join(segments[:depth])}/" for depth in range(1, len(segments))]
    inner = others.filter(listen_path__startswith=path).order_by("listen_path")
    outer = others.filter(listen_path__in=above).order_by("-listen_path").first()
    return Place(outer=outer, inner=tuple(inner[:MOST_NAMED]))
