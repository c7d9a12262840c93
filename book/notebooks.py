"""Execute the book's notebooks and keep only what belongs under version control.

    python book/notebooks.py [NOTEBOOK ...]        (no argument: every chapter and the template)

Code, text and printed results stay; images, HTML, widget state and timings go, so that a difference between two
versions of a notebook is a difference in what it says. Running it twice gives the same bytes.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KEPT_TYPES = ("text/plain", "text/markdown", "text/latex")
KEPT_CELL_METADATA = ("tags", "mystnb")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(notebook, folder):
    """Run every cell of a copy of the notebook, with `folder` as the working directory."""
    notebook = nbformat.from_dict(notebook)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", record_timing=False, resources=where)
    with tempfile.TemporaryFile("w+") as said:  # by the kernel itself; one that is stopped may complain
        try:
            client.execute(stderr=said)
        except BaseException:
            # Ctrl-C makes nbclient stop the kernel in a task, and then fail in one of several ways, the task too.
            if task := getattr(client, "_async_cleanup_kernel_future", None):
                task.get_loop().set_exception_handler(lambda *_: None)
                raise KeyboardInterrupt from None
            said.seek(0)
            sys.stderr.write(said.read())
            raise
    return notebook


def clean(notebook):
    """A copy of the executed notebook without images, HTML, widget state and metadata of the moment."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = clean_outputs(cell.outputs)
    return notebook


def clean_outputs(outputs):
    """Merge neighbouring pieces of one stream, and keep of each rich output its text forms alone."""
    kept = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        elif "data" not in output:
            kept.append(output)
        elif data := {kind: output.data[kind] for kind in KEPT_TYPES if kind in output.data}:
            kept.append(nbformat.from_dict({**output, "data": data, "metadata": {}}))
    return kept


def main(paths):
    book = Path(__file__).parent
    for path in map(Path, paths or sorted((*book.glob("*.ipynb"), *book.glob("template/*.ipynb")))):
        notebook = clean(execute(nbformat.read(path, as_version=4), path.parent))
        part = path.with_name(f".{path.name}.part")  # so that the notebook is whole whenever this is killed
        part.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        part.replace(path)
        print(path.name)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("interrupted: the notebook that was running is as it was")
