"""The tables of the monitor's store. A script that was released never changes; add another."""

from xinye.apps.keys import TABLE

_TABLES = """
-- All times are seconds since 1970, and an hour is a time divided by 3600, rounded down.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,            -- hash of all its parts
    named TEXT NOT NULL,                 -- hash of its id and of where that is unique; or its key
    source TEXT NOT NULL,                -- the medium that people read
    origin TEXT NOT NULL,                -- address of its feed or path of its file, or ''
    title TEXT NOT NULL,                 -- personal data is masked in title and text
    text TEXT NOT NULL,
    url TEXT NOT NULL,
    at REAL NOT NULL,                    -- when it was published, never later than fetched
    fetched REAL NOT NULL,
    dated TEXT NOT NULL CHECK (dated IN ('given', 'missing', 'future')),
    first INTEGER REFERENCES documents (number), -- an earlier document that it nearly equals
    repeats INTEGER NOT NULL DEFAULT 0,  -- later documents that nearly equal it
    language TEXT NOT NULL,
    mood TEXT NOT NULL,
    mood_probability REAL,
    erased REAL                          -- since when its texts are gone
);
CREATE INDEX documents_by_id ON documents (named);
CREATE INDEX documents_by_time ON documents (at);
CREATE INDEX documents_of_source ON documents (source, at);
CREATE INDEX documents_of_first ON documents (first) WHERE first IS NOT NULL;
CREATE INDEX documents_with_texts ON documents (fetched) WHERE erased IS NULL;

-- `at` is the document's, so that the newest documents of a topic are found without the others.
CREATE TABLE document_topics (
    document INTEGER NOT NULL REFERENCES documents (number),
    topic TEXT NOT NULL,
    probability REAL,                    -- 1 if a person said so, null if not calibrated
    at REAL NOT NULL,
    PRIMARY KEY (document, topic)
) WITHOUT ROWID;
CREATE INDEX documents_of_topic ON document_topics (topic, at, document);

CREATE TABLE document_companies (
    document INTEGER NOT NULL REFERENCES documents (number),
    company TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (document, company)
) WITHOUT ROWID;
CREATE INDEX documents_of_company ON document_companies (company, at, document);

-- What near.py needs to tell that a later document repeats one of the last days.
CREATE TABLE sketches (
    document INTEGER PRIMARY KEY REFERENCES documents (number),
    at REAL NOT NULL,
    fetched REAL NOT NULL,
    title INTEGER NOT NULL,              -- hash of it, 0 if it is too short to mean something
    sketch BLOB NOT NULL
);
CREATE INDEX sketches_by_time ON sketches (fetched);

-- How many documents an hour has, written with each document. '' counts all topics or companies.
CREATE TABLE counts (
    topic TEXT NOT NULL,
    company TEXT NOT NULL,
    mood TEXT NOT NULL,
    hour INTEGER NOT NULL,
    documents INTEGER NOT NULL,          -- without repeats
    repeats INTEGER NOT NULL,
    PRIMARY KEY (topic, company, mood, hour)
) WITHOUT ROWID;

-- The hours in which the monitor was at work. Nothing is known of the others.
CREATE TABLE presence (
    hour INTEGER PRIMARY KEY
);

CREATE TABLE alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('topic', 'company')),
    subject TEXT NOT NULL,               -- the topic or the company
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
    opened REAL NOT NULL,
    changed REAL NOT NULL,               -- when it last was an alarm, or a person closed it
    since INTEGER NOT NULL,              -- hour of the first documents that caused it,
    hour INTEGER NOT NULL,               -- and of the last
    observed INTEGER NOT NULL,
    expected REAL NOT NULL,
    probability REAL NOT NULL,           -- of at least so many
    summary TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL DEFAULT ''         -- who acknowledged it
);
CREATE UNIQUE INDEX one_alert_for_each_subject ON alerts (kind, subject) WHERE state <> 'closed';
CREATE INDEX alerts_by_subject ON alerts (kind, subject, changed);
CREATE INDEX alerts_by_change ON alerts (changed);

CREATE TABLE alert_documents (
    alert INTEGER NOT NULL REFERENCES alerts (number),
    place INTEGER NOT NULL,              -- 1 is the most typical
    document INTEGER NOT NULL REFERENCES documents (number),
    PRIMARY KEY (alert, place)
) WITHOUT ROWID;

CREATE TABLE mutes (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    until REAL NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;

-- Messages about alerts that must arrive: written with the alert.
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,            -- receivers tell by it that a message comes again
    alert INTEGER NOT NULL REFERENCES alerts (number),
    channel TEXT NOT NULL,               -- the name of one in monitor.toml
    body TEXT NOT NULL,                  -- JSON
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    begun REAL NOT NULL,                 -- when it was written, or last sent again by a person
    due REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    claimed_until REAL NOT NULL DEFAULT 0, -- by a process that sends it now
    error TEXT NOT NULL DEFAULT '',
    sent REAL
);
CREATE INDEX deliveries_by_state ON deliveries (state, due);

CREATE TABLE feeds (
    url TEXT PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    etag TEXT NOT NULL DEFAULT '',
    modified TEXT NOT NULL DEFAULT '',
    due REAL NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, -- in a row
    checked REAL,
    fresh REAL,                          -- when it last answered
    stale REAL,                          -- since when there is nothing new because it fails
    error TEXT NOT NULL DEFAULT '',      -- why it fails
    notes TEXT NOT NULL DEFAULT '[]'     -- what was left out or repaired in its last answer
) WITHOUT ROWID;

CREATE TABLE corrections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    document INTEGER NOT NULL REFERENCES documents (number),
    field TEXT NOT NULL CHECK (field IN ('topics', 'mood')),
    value TEXT NOT NULL,                 -- JSON: the right topics, or the right mood
    before TEXT NOT NULL,                -- JSON: what the model said, with probabilities
    who TEXT NOT NULL,
    changed REAL NOT NULL,               -- when it was made, or decided on
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'declined')),
    UNIQUE (document, field, who)
);
CREATE INDEX corrections_by_state ON corrections (state, number);

-- Who did what, without texts.
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    document INTEGER,
    alert INTEGER
);
"""

MIGRATIONS = (TABLE + _TABLES,)
