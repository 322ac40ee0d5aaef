"""Options of the whole suite: `--hypothesis-profile=long` draws a hundred times as many examples."""

from hypothesis import settings

settings.register_profile("long", max_examples=100 * settings().max_examples, deadline=None)
