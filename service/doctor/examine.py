"""The whole examination, hosts side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from service.config import Configuration
from service.doctor import cache, cloud, embedding, house, ollama
from service.doctor.cloud import CloudReport
from service.doctor.endpoints import Endpoint, ToldEnvironment, endpoints_of
from service.doctor.findings import Finding, Status

MOST_AT_ONCE = 16


def examine(
    configuration: Configuration, source: str, environment: ToldEnvironment, *, measure: bool = False
) -> list[Finding]:
    """Everything that the configuration relies on.

    Args:
        configuration: Loaded with ``environment``.
        source: Its file, for messages.
        environment: Knows which variables are not set.
        measure: Also generate a short text with each local model.
    """
    found = [
        Finding("keys", name, Status.FAILED, "is not set", f"export {name}=... before the start")
        for name in environment.missing
    ]
    endpoints = [e for e in endpoints_of(configuration) if not environment.stands_in(e.address)]
    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="doctor") as pool:
        reports = list(pool.map(lambda e: _of(e, configuration, environment, measure), endpoints))
    for report in reports:
        found += report.findings
    found.append(house.clock(report.ahead_s for report in reports))
    found.append(house.store(configuration.store.url))
    found.append(house.classifier(configuration, source))
    found += embedding.embeddings(configuration)
    return found + house.shared_state(configuration.state) + cache.cache(configuration)


def _of(endpoint: Endpoint, configuration: Configuration, environment: ToldEnvironment, measure: bool) -> CloudReport:
    if endpoint.ollama:
        memory_gb = configuration.hosts[endpoint.host].memory_gb
        return CloudReport(ollama.examine(endpoint, configuration.limits, memory_gb=memory_gb, measure=measure))
    has_key = not environment.stands_in(endpoint.key)
    report = cloud.examine(endpoint, configuration.limits, has_key=has_key)
    return CloudReport(report.findings, None if endpoint.local else report.ahead_s)
