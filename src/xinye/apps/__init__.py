"""Applications: what a company runs. They train no network by themselves, and call models through
`api/`.

`store.py` keeps what an application knows in one file, `keys.py` its secret beside it.
"""
