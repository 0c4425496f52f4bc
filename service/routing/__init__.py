"""Which tier and which deployments: constraints, choosers, policy, and the reason for each decision."""
