"""A leaderboard that grows: result files of one protocol and numbers that others published, on one page."""
