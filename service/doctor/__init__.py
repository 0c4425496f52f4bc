"""Looks at everything that a configuration relies on and says what is wrong, each with its fix."""
