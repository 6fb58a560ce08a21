"""Customer service: conversations of customers with a bot and with people.

`Conversations` in `conversations.py` is the way in. Each role has one file with what it may do:
`customers.py`, `bot.py`, `operators.py`. `feedback.py` turns what they say about answers into
training records, `log.py` keeps what happened, and `retention.py` deletes.
"""
