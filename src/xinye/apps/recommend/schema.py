"""The tables of the service's store. A script that was released never changes; add another."""

from xinye.apps.keys import TABLE

_TABLES = """
-- All times are seconds since 1970.
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    item TEXT NOT NULL,
    kind TEXT NOT NULL,                  -- such as 'purchase', or ''
    at REAL NOT NULL,                    -- never later than when it arrived
    UNIQUE (user, item, kind)            -- of several equal events the first counts
);

CREATE TABLE items (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,                  -- a JSON list
    at REAL NOT NULL                     -- when it was last put
) WITHOUT ROWID;

-- Users whose training histories are no longer used, by hashes that the key of the store makes.
CREATE TABLE forgotten (
    user TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;
"""
MIGRATIONS = (TABLE + _TABLES,)
