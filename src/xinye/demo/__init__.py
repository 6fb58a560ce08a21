"""The demo: its world of stories, its exercises, the way through them."""
