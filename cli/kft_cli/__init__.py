"""kft_cli: click commands, pipeline, statistics, report. Layer 2."""
