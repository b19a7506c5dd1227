"""Improve a set of sampled images: select the most useful ones, then refine their pixels.

Both phases lower the loss of kernel ridge regression: a linear classifier on the features of small
networks, fitted in closed form to the distilled set and tested on real training images (Nguyen et
al., arXiv 2107.13034; Zhou et al., arXiv 2206.00719).
"""
