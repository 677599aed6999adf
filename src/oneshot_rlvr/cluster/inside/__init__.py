"""What verl's own processes import: agent loop, reward, plugin. Nothing else of this package imports it.

verl and Ray are there when these files run, and only then.
"""
