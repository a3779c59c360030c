"""Perturbation tests: what an answer is worth while boxes, patches or words are taken away by their relevance.

Protocol of Chefer, Gur, Wolf, ICCV 2021, as its code has it; ``relevance-spectral-baselines`` section 8.
"""
