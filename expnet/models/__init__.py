"""Networks as plain modules that know nothing of a Trainer."""
