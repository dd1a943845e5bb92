"""Parts for expnet, none of which edits it."""
