"""``expnet ui``: a web page on this machine that makes videos without the command line.

``form`` lists the controls, ``uploads`` receives files, ``jobs`` makes the videos and ``server`` answers requests; the
page itself is ``page.html`` with its style and script. It is served by aiohttp, which PyTorch Lightning requires
anyway, and loads nothing from other hosts: no fonts, no scripts, no statistics.
"""
