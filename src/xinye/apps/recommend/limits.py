"""How much somebody may send to the service at once."""

MOST_SUGGESTED = 100  # items in one answer
MOST_HISTORY = 1_000  # items of a history
MOST_EXCLUDED = 10_000
MOST_FILTERS = 20
MOST_EVENTS = 1_000  # in one request
MOST_FOUND = 100  # items in one answer of the search

KIND = 50  # characters of the kind of an event
TITLE = 500
TEXT = 20_000
MOST_TAGS, TAG = 50, 100
QUERY = 200  # of a search

EVENTS_OF_USER = 10_000  # that are kept; more are refused
ITEMS = 10_000  # that can be put besides those of the run
