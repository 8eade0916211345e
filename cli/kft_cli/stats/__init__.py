"""The statistics of a report: pure functions of counts and scores, each with its source."""
