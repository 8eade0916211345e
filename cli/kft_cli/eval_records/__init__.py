"""Results as every-eval-ever records, the shared schema of https://evalevalai.com."""
