"""Motion for other programs: each module writes one kind of file, :mod:`expnet.formats.convert` knows them all."""
