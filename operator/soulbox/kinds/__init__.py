"""Each kind in a folder of its own: what is known of its objects, and what follows from them."""
