"""Where an API would listen, seen beside all others: for forms, as one types."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError

from policies_app.models import Api, check_listen_path


@dataclass(frozen=True, slots=True)
class Place:
    """`problem` refuses the path; empty: it can be saved. `outer` and `inner` are APIs above and below it: the longest
    listen path takes a request.
    """

    problem: str = ""
    taken_by: Api | None = None
    outer: tuple[Api, ...] = ()
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
    return Place(
        outer=tuple(others.filter(listen_path__in=above).order_by("-listen_path")), inner=tuple(inner[:MOST_NAMED])
    )
