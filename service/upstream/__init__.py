"""The chain and its limits, the health of hosts, and the ways upstream; the only place that imports litellm."""
