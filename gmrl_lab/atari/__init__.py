"""A2C and three-step MGRL at the scale of Atari, with or without the LVC correction (the paper's Table 4, Figure 4).

It needs the extra `gmrl_lab[atari]`, and nothing else in the package imports it.
"""
