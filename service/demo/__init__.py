"""The demo: simulated hosts and the command that runs the service in front of them."""
