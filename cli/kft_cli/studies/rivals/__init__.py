"""Other engines that the benchmark drives as a careful user would."""
