"""Behind the answers: what is concluded from the log, a challenger in the shadow, and drift.

``implicit.py`` draws conclusions, ``following.py`` reads the log for it and for ``drift.py``, ``shadow.py`` asks a
second classifier on live traffic. Nothing of it is on a request's path.
"""
