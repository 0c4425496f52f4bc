"""One patch per rule of the fault matrix that breaks it, and a test that must then fail."""
