"""Generated photographs of numbers: letterforms, surfaces, domains, the camera, and what writes them."""
