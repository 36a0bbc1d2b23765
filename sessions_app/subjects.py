"""The custom rate limit key of a key (section 5), under metadata that a policy would have: for forms, before saving."""

from dataclasses import dataclass, replace

from organisations_app.documents import DocumentError, parse_object
from policies_app.limits import merged_meta_data
from policies_app.patterns import FIELD, PatternError, parse, value_text
from sessions_app.models import Key
from sessions_app.terms import holders_of


@dataclass(frozen=True, slots=True)
class ComputedSubject:
    """`subject` is None where the key counts for itself. `values` are those that the pattern refers to, as text;
    `problem` says why there is nothing to compute.
    """

    pattern: str = ""
    values: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    problem: str = ""


def computed_subject(key: Key, policy_id: str, meta_data: str) -> ComputedSubject:
    """With the policy's metadata as this JSON text says. `key` was read with `select_related(HOLDER)`."""
    try:
        written = parse_object(meta_data.encode() or b"{}")
        holder = holders_of([key])[key.pk]
        policies = [replace(each, meta_data=written) if each.id == policy_id else each for each in holder.policies]
        merged = merged_meta_data(holder.terms, policies)
        pattern = parse(merged.get(FIELD))
    except (DocumentError, PatternError) as error:
        return ComputedSubject(problem=str(error))
    if pattern is None:
        return ComputedSubject()
    values = tuple((name, value_text(merged.get(name))) for name in dict.fromkeys(pattern.names))
    return ComputedSubject(str(merged[FIELD]), values, pattern.subject(merged))
