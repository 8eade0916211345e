"""`worldfacts`: closed-book questions about countries, cities, U.S. states and chemical elements, shipped with kft."""
