"""The usual text classifier, TF-IDF with logistic regression, as a baseline on the team-written set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.record import LabelledRequest
from classifier.tiers import tier_index


def tfidf_predictions(train: Sequence[LabelledRequest], test: Sequence[LabelledRequest]) -> NDArray[np.float64]:
    """Probabilities by words and word pairs.

    Args:
        train: Labelled rows to fit on.
        test: Rows to predict.

    Returns:
        (len(test), 3).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=50_000)
    design = words.fit_transform([r.text[:20_000] for r in train])
    model = LogisticRegression(C=10.0, max_iter=200).fit(design, [tier_index(r.tier) for r in train])
    return np.asarray(model.predict_proba(words.transform([r.text[:20_000] for r in test])), dtype=np.float64)
