"""A2C and three-step MGRL at the scale of Atari, with or without the LVC correction (the paper's Table 4, Figure 4).

Games need the extra `gmrl_lab[atari]`. Nothing imports this but the command that trains and its lessons' explorers.
"""
