"""The first infinity or NaN of a training: traced, kept to be replayed, and explained."""
