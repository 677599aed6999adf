"""The `oneshot` command and the same as Python functions (`api.py`). Nothing here is imported by another room."""
