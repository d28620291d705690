"""Surveys: people rate pictures blind, from 0 to 10, and the numbers come with honest intervals.

plan        pictures, balanced orders, hidden checks      store     votes in SQLite or PostgreSQL
report      tables, exports, counts of people             consent   what raters agree to
statistics  means, spreads, intervals, correlations       agreement alpha, ICC, test–retest
comparison  Friedman, Wilcoxon, the best or why none      grim      what printed numbers say about themselves
charts      the lyrics paper's Figures 6 and 7
"""

from labkit.survey.plan import Item, Plan, items_of_folder, items_of_pictures
from labkit.survey.store import Joined, Store, TooSoon, View

__all__ = ["Item", "Joined", "Plan", "Store", "TooSoon", "View", "items_of_folder", "items_of_pictures"]
