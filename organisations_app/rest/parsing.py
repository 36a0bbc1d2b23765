"""Reading request bodies of `/api/v1`: JSON only, strictly, and of bounded size."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from organisations_app.documents import MAX_BYTES, parse_json
from organisations_app.rest.refusals import TooLarge


class DocumentParser(BaseParser):
    """JSON as `documents.parse_json` takes it."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise TooLarge(f"The body must have at most {MAX_BYTES} bytes.")
        return parse_json(body)
