"""Networks as plain modules: they know no Trainer."""
