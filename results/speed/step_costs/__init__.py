"""What the steps of a run cost before and after kft was made faster, and where the time of a detection goes."""
