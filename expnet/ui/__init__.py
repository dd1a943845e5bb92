"""``expnet ui``: a page on this machine, to make one video after another without a command line.

``form`` is what can be set, ``uploads`` what may come in, ``jobs`` how a video is made, ``server`` the addresses; the
page itself is ``page.html`` with its style and script. It is served by aiohttp, which PyTorch Lightning brings anyway,
and asks for nothing from anywhere else: no fonts, no scripts, no statistics.
"""
