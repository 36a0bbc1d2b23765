"""Resources of `/api/v1` that are about who: organisations, their people, tokens of programs, and the audit."""
