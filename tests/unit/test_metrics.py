"""The exposition: types and texts of the numbers that parts give."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics


def test_what_grows_is_a_counter_and_what_is_as_of_now_a_gauge() -> None:
    """The names stay as they are; only a name that ends in _total is a counter's."""
    metrics = Metrics()
    metrics.watch("places", lambda: {"running": 2.0, "refused_total": 5.0})

    text = metrics.text().decode()

    assert "# TYPE autotier_places_running gauge" in text
    assert "# TYPE autotier_places_refused_total counter" in text
    assert "autotier_places_refused_total 5.0" in text
    assert "# HELP autotier_places_waiting" not in text
    assert "# HELP autotier_places_running Requests at work now." in text


def test_a_reload_changes_who_is_asked() -> None:
    """The numbers of the part that runs now."""
    metrics = Metrics()
    for value in (1.0, 2.0):
        metrics.watch("cache", lambda value=value: {"semantic_refused_few_words_total": value, "odd.name": value})  # type: ignore[misc]  # the default binds it

    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}

    refused = families["autotier_cache_semantic_refused_few_words"]
    assert (refused.type, refused.samples[0].value) == ("counter", 2.0)
    assert refused.documentation == "Similar asks refused because of: few words."
    assert families["autotier_cache_odd_name"].documentation == "cache_odd_name."
