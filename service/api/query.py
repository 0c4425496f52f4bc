"""Query keys of our own routes: one that nobody reads is a mistake, as an unknown field of a body is.

OpenAI's routes take them and ignore them, as OpenAI does: some clients send ``api-version`` with every request.
"""

from __future__ import annotations

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from service.errors import InvalidRequest


def known_query(request: Request) -> None:
    """Refuses query keys that the route does not read.

    Raises:
        InvalidRequest: With the key as ``param``.
    """
    if not request.query_params:
        return
    dependant: Dependant = request.scope["route"].dependant
    known = [field.alias for field in dependant.query_params]
    for name in request.query_params:
        if name not in known:
            takes = (
                f"this route takes {', '.join(known)}" if known else "this route takes none; fields go into the body"
            )
            raise InvalidRequest(f"{name[:80]}: there is no such query key; {takes}", param=name[:80])


KNOWN_QUERY = [Depends(known_query)]
