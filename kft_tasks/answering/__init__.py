"""Who answers: kft's engine, lm-eval's models, servers."""
