"""People's preference: pairwise votes, and what they say of the arms."""

from bench.preference.agreement import krippendorff_alpha, win_rates
from bench.preference.ratings import bradley_terry, elo
from bench.preference.table import read_votes

__all__ = ["bradley_terry", "elo", "krippendorff_alpha", "read_votes", "win_rates"]
