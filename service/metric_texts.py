"""What the numbers of the parts mean, for HELP lines of ``/metrics``: by ``<part>_<number>``, without ``_total``."""

from __future__ import annotations

_TEXTS = {
    "loop_tasks": "Tasks of the event loop now.",
    "places_running": "Requests at work now.",
    "places_waiting": "Requests that wait for a place now.",
    "places_refused": "Requests refused because the queue was full or the wait too long.",
    "state_working": "1 while the shared Redis answers, 0 while this process goes on alone.",
    "state_replicas": "Processes that share the Redis, this one included.",
    "state_failures": "Calls to the shared Redis that failed.",
    "state_alone": "Times that the shared Redis was not asked because it was away.",
    "state_dropped": "Writes to the shared Redis that were given up.",
    "store_written": "Decisions written to the store since the start.",
    "store_pending": "Decisions that wait to be written.",
    "store_dropped": "Decisions lost because too many waited.",
    "store_dropped_holds": "Tiers of conversations lost because too many waited.",
    "store_failed_flushes": "Batches that the store did not take at the first try.",
    "store_failed_reads": "Reads of the store that failed.",
    "store_lost_before": "Decisions that killed processes lost, as found at this start.",
    "store_working": "1 while the store takes batches, 0 while it refuses them.",
    "upstream_held": "Deployments and hosts that are passed over now, after a failure.",
    "upstream_running": "Attempts at work now, over all deployments.",
    "upstream_swaps": "Times that a host put one model out of memory for another.",
    "upstream_operator_faults": "Deployments that the operator has to mend: a refused key, a model that is not there.",
    "cache_entries": "Answers kept now.",
    "cache_bytes": "Bytes that kept answers take.",
    "cache_redis": "1 while answers are kept in the Redis, 0 while the process keeps its own.",
    "cache_evicted": "Answers put out because the cache was full.",
    "cache_expired": "Answers found to be over their time.",
    "cache_alone": "Times that the process's own memory stood in for the Redis.",
    "cache_kept": "Answers that were kept.",
    "cache_too_large": "Answers not kept because they are larger than cache.max_entry_bytes.",
    "cache_rejected": "Answers taken back because somebody called them wrong, neighbours included.",
    "cache_joined": "Requests that shared the call of another one under way.",
    "cache_semantic_served": "Hits by a similar ask.",
    "cache_semantic_embedded": "Asks that the embedding model turned into vectors.",
    "cache_semantic_failed": "Calls of the embedding model that failed or took too long.",
    "cache_semantic_rested": "Asks not compared because the embedding model rested after failures.",
    "cache_verify_same": "Hits that the judge found right.",
    "cache_verify_wrong": "Hits that the judge found wrong.",
    "cache_verify_undecided": "Hits about which the judge could not decide.",
    "cache_verify_failed": "Hits whose verification failed.",
    "cache_verify_dropped": "Hits not verified because too many waited.",
    "cache_verify_over_budget": "Hits not verified because the budget of the day was used up.",
    "cache_verify_kept_in_house": "Hits not verified because the request may not leave the house.",
    "cache_verify_not_allowed": "Hits not verified because a constraint removes the judge.",
    "cache_verify_explored": "Asks compared with an answer that was not similar enough to be served.",
    "cache_verify_spent_usd": "US dollars spent on verifying.",
    "cache_verified_hits": "Verdicts on hits that are known now.",
    "cache_false_hits": "Of these, wrong ones.",
    "cache_false_hit_rate": "Share of wrong hits among the verified ones, 0 to 1.",
    "cache_false_hit_bound": "Upper bound of the share of wrong hits, 0 to 1.",
    "experiment_running": "1 while an experiment runs.",
    "experiment_stopped_arms": "Arms of the running experiment that a guardrail stopped.",
    "experiment_store_failures": "Looks at the experiment's state that failed.",
    "classifier_degraded": "Requests for which the classifier failed or ran out of time.",
    "classifier_second_stage_late": "Requests for which the second stage was left out because it was late.",
    "learning_store_failures": "Looks at the log for conclusions that failed.",
    "learning_behind_s": "Seconds by which conclusions lag behind what has settled.",
    "learning_callers_over_cap_today": "Callers whose labels of today go beyond learning.most_weight_per_caller_day.",
    "learning_label_weight_today": "Weight of all labels of today, before the cap.",
    "learning_conflicts_today": "Decisions of today about which contradicting things were said.",
    "learning_drift_reference": "1 if the artifact in use says what it was trained on.",
    "learning_drift_conversations": "Conversations that drift was measured on.",
    "learning_drifted": "1 while live traffic does not look like the training data.",
    "shadow_compared": "Requests that a challenger judged too.",
    "shadow_disagreed": "Of these, requests for which it names another tier.",
    "shadow_dropped": "Requests not judged by the challenger because too many waited.",
    "shadow_failed": "Requests on which the challenger failed.",
    "shadow_store_failures": "Comparisons that the store did not take.",
    "shadow_waiting": "Requests that wait for the challenger now.",
}
_BY_FORM = (
    ("cache_semantic_refused_", "", "Similar asks refused because of: {}."),
    ("learning_concluded_", "", "Labels concluded by: {}."),
    ("learning_drift_", "_index", "Population stability index of the feature group {}."),
    ("learning_drift_", "_bound", "What that index stays below by chance, feature group {}."),
)


def text_of(name: str) -> str:
    """The HELP text of a number of a part.

    Args:
        name: ``<part>_<number>``, without ``_total``.

    Returns:
        A sentence; for a number that nobody described its name.
    """
    if (known := _TEXTS.get(name)) is not None:
        return known
    for start, end, text in _BY_FORM:
        if name.startswith(start) and name.endswith(end):
            return text.format(name[len(start) : len(name) - len(end)].replace("_", " "))
    return f"{name}."
