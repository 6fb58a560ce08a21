"""The opinion monitor: a stream of texts becomes topics, moods, trends and alarms."""
