"""OpenAI's `files` and `vector_stores`, for its own clients."""

from littoral.web.routes import Route
from littoral.web.stores.desk import StoreDesks
from littoral.web.stores.files import upload_routes
from littoral.web.stores.stores import vector_store_routes

__all__ = ["StoreDesks", "store_routes"]


def store_routes(desks: StoreDesks) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    return upload_routes(desks.uploads) | vector_store_routes(desks)
