"""Labels as columnar tables of images and boxes: COCO in and out, checks, repeats."""
