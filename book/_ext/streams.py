"""Sphinx extension: pieces of printed text are joined as they were printed.

MyST-NB ends each piece in a new line. Where the kernel sent a line in two pieces, which depends on its timing, the
page would break it.
"""

from myst_nb.core import render


def joined(merge):
    """Let a function that merges streams see one piece of each."""

    def merged(outputs):
        streams, found = {}, []
        for output in outputs:
            if output["output_type"] != "stream":
                found.append(output)
            elif output["name"] in streams:
                streams[output["name"]]["text"] += output["text"]
            else:
                found.append(output.copy())
                streams[output["name"]] = found[-1]
        return merge(found)

    return merged


def setup(app):
    render.coalesce_streams = joined(render.coalesce_streams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
