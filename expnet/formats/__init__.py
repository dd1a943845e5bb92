"""Motion files of other programs; each module writes one format, and :mod:`expnet.formats.convert` knows them all."""
