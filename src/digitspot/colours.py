"""The colours that carry meaning. Texts, shapes or line styles say the same, so nobody needs to see them.

They are told apart with every kind of colour blindness, by the matrices of Machado et al. 2009 at full
strength: `SERIES` by an OKLab distance of 7 or more of 100, as Okabe and Ito's palette, each pair by 12.
A test computes it, and that the pages' style sheets have the same.
"""

SERIES = ("#0c71c7", "#ff4800", "#0a6f59", "#cf578f", "#2a1a5c", "#629300")
"""Of lines and bars. Contrast on white is 3 or more."""
MARKERS = "osD^vP"
"""Matplotlib's names of the shapes that tell the same series apart; `report.html` writes them, too."""
HIT, MISS = "#1f63c6", "#c02a4b"
"""Cells of a table of confusions, on and off the diagonal."""
RIGHT, WRONG = "#2f9bff", "#ff6a3d"
"""Of drawn answers, with a tick and a cross."""
