"""The statistics of a report: pure functions of counts, each with its source. Intervals are 95 % everywhere."""
