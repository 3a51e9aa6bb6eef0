"""Generated images of numbers: letterforms, surfaces, domains, the camera, and what writes them."""
