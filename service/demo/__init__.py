"""The demo: simulated hosts, the service in front of them, a dozen prompts and what is expected of each."""
