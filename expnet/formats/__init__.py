"""Motion for other programs: each module writes one kind of file, :mod:`expnet.formats.export` knows them all."""
