"""Following objects through a video: the tracker, its text form, and how well it does."""
