"""Online experiments: arms by configuration, assignment by a stable hash, guardrails, reports safe to look at daily."""
