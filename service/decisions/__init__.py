"""Decision records: what was decided, tried, served and said afterwards."""
