"""Learning: loss, assignment, optimisation, and the loop that can be killed at any moment."""
