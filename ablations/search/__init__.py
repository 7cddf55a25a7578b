"""Searches: a study file says what is varied, one controller asks and tells, and stages do the work."""
