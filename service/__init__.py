"""The gateway: HTTP, routing, upstream, decision records and the command line of autotier."""
