"""Graders of published work, by their rules, for comparison only."""
