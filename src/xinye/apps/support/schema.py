"""The tables of the support store. A script that was released never changes; add another."""

from xinye.apps.keys import TABLE

_TABLES = """
-- A row stays when a conversation is erased, so that figures stay right; its texts go.
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    token TEXT NOT NULL,                 -- SHA-256 of the customer's token
    user TEXT,                           -- keyed hash of the user's id, if there is one
    state TEXT NOT NULL CHECK (state IN ('bot', 'waiting', 'human', 'closed')),
    begun REAL NOT NULL,                 -- all times are seconds since 1970
    changed REAL NOT NULL,               -- by customer, bot or operator
    messages INTEGER NOT NULL DEFAULT 0, -- the number of the last one
    reason TEXT NOT NULL DEFAULT '',     -- why a person was asked, one of REASONS
    waiting REAL,                        -- since when nobody has answered for the bot
    operator TEXT,
    claimed_until REAL,
    masks TEXT NOT NULL DEFAULT '{}',    -- state of the Masker, as JSON
    erased REAL
);
CREATE INDEX conversations_by_state ON conversations (state, changed);
CREATE INDEX conversations_by_user ON conversations (user);
CREATE INDEX conversations_by_change ON conversations (changed) WHERE erased IS NULL;

CREATE TRIGGER closed_stays_closed BEFORE UPDATE OF state ON conversations
WHEN OLD.state = 'closed' AND NEW.state <> 'closed'
BEGIN SELECT RAISE(ABORT, 'a closed conversation is not opened again'); END;

-- What happened, without texts of customers, so that it can stay when they are erased.
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL CHECK (who IN ('customer', 'bot', 'operator', 'system')),
    name TEXT NOT NULL,                  -- of the operator
    what TEXT NOT NULL,
    conversation TEXT NOT NULL REFERENCES conversations (id),
    message INTEGER,                     -- its number
    kind TEXT NOT NULL,                  -- of a reply
    reason TEXT NOT NULL,                -- of a handover
    model TEXT NOT NULL,                 -- hash of the model that decided
    score REAL,
    threshold REAL,
    seconds REAL                         -- how long the customer has waited for this
);
CREATE INDEX log_by_conversation ON log (conversation, what);
CREATE TRIGGER log_is_not_changed BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'the log is not changed'); END;
CREATE TRIGGER log_is_not_replaced BEFORE INSERT ON log
WHEN EXISTS (SELECT 1 FROM log WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the log is not changed'); END;
CREATE TRIGGER log_is_not_shortened BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'the log is not shortened'); END;

-- The texts of the log. They may repeat what a customer wrote.
CREATE TABLE log_texts (
    log INTEGER PRIMARY KEY REFERENCES log (number),
    conversation TEXT NOT NULL REFERENCES conversations (id),
    why TEXT NOT NULL,
    sources TEXT NOT NULL                -- JSON
);
CREATE INDEX log_texts_by_conversation ON log_texts (conversation);
CREATE TRIGGER log_texts_are_not_changed BEFORE UPDATE ON log_texts
BEGIN SELECT RAISE(ABORT, 'the log is not changed'); END;
CREATE TRIGGER log_texts_are_not_replaced BEFORE INSERT ON log_texts
WHEN EXISTS (SELECT 1 FROM log_texts WHERE log = NEW.log)
BEGIN SELECT RAISE(ABORT, 'the log is not changed'); END;
CREATE TRIGGER log_texts_are_not_deleted BEFORE DELETE ON log_texts
WHEN (SELECT erased FROM conversations WHERE id = OLD.conversation) IS NULL
BEGIN SELECT RAISE(ABORT, 'texts of the log are deleted with their conversation only'); END;

CREATE TABLE messages (
    conversation TEXT NOT NULL REFERENCES conversations (id),
    number INTEGER NOT NULL,             -- 1, 2, … within a conversation
    at REAL NOT NULL,
    sender TEXT NOT NULL CHECK (sender IN ('customer', 'bot', 'operator')),
    text TEXT NOT NULL,                  -- masked
    client TEXT,                         -- keyed hash of the id that the sender gave it
    suggestion TEXT NOT NULL DEFAULT '', -- what an operator was suggested
    log INTEGER NOT NULL REFERENCES log (number),
    PRIMARY KEY (conversation, number),
    UNIQUE (conversation, sender, client)
);

-- Messages that the bot has to answer: written with the message, deleted with the reply.
CREATE TABLE pending (
    conversation TEXT NOT NULL,
    number INTEGER NOT NULL,
    claim TEXT NOT NULL DEFAULT '',      -- of the worker that answers it
    until REAL NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation, number),
    FOREIGN KEY (conversation, number) REFERENCES messages (conversation, number)
);

CREATE TABLE feedback (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    conversation TEXT NOT NULL,
    message INTEGER NOT NULL,            -- the answer that it is about
    giver TEXT NOT NULL CHECK (giver IN ('customer', 'operator')),
    good INTEGER NOT NULL,               -- 1: thumb up, 0: thumb down
    text TEXT NOT NULL,                  -- the right answer, if it is another one
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'declined')),
    UNIQUE (conversation, message, giver),
    FOREIGN KEY (conversation, message) REFERENCES messages (conversation, number)
);
CREATE INDEX feedback_by_state ON feedback (state, number);
"""
_DECISIONS = """
-- The entry of the log for the decision on feedback; the highest number was decided last.
ALTER TABLE feedback ADD COLUMN decision INTEGER REFERENCES log (number);
UPDATE feedback SET decision = (
    SELECT max(log.number) FROM log
    WHERE log.conversation = feedback.conversation AND log.message = feedback.message
    AND log.what = feedback.state AND log.kind = iif(feedback.good, 'up', 'down')
);
CREATE INDEX feedback_by_decision ON feedback (state, decision);
"""

MIGRATIONS = (TABLE + _TABLES, _DECISIONS)
