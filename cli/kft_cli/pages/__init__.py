"""Pages and terminal views besides the report: data, certainty, published results."""
