"""What replicas and workers share through one Redis: holds of hosts and deployments, conversations, limits and spend.

Every part keeps a copy of its own, so that a Redis that is gone, slow, hung or full costs a request at most
``state.timeout_ms`` once, and the process goes on alone, loudly, until it is back. README.md has the rules.
"""
