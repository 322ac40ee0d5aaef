"""The one description of a frame that everything learned decides by: what its hypotheses show, and what that is beside
what is known of the target."""
