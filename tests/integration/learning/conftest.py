"""Real stores for what works behind the answers; the same fixtures as those of the decisions."""

from tests.integration.decisions.conftest import decision, postgresql, sqlite_path, sqlite_store, store, store_url

__all__ = ["decision", "postgresql", "sqlite_path", "sqlite_store", "store", "store_url"]
