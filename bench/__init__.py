"""The numbers in the README, and the demo: both come in through the front door."""
