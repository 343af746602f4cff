"""Analysis: numbers from records: tests, intervals, comparisons, effects, claims and the answer; no words."""
