"""Decision records: what was decided, tried, served and said afterwards.

``store.py`` keeps them (SQLite or PostgreSQL), ``recorder.py`` keeps the store off the event loop, ``writer.py`` writes
in batches and survives a store that does not work, ``tally.py`` counts what a killed process lost. Add columns and
tables as a new step at the end of ``migrations.py`` and in ``schema.py``. Nothing is imported here, so that a record
costs no database library.
"""
