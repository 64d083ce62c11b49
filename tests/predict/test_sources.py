"""Sources: everything that a text can stand for, named so that no two results collide."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tests.runtimes.bright import encoded, picture
from yolocore.errors import DataError, ServiceError
from yolocore.predict.sources import find_media, read_image


@pytest.fixture
def folder(tmp_path):
    """Two folders of pictures, a video, and files that are neither."""
    for name in ("b.png", "a.PNG", "deep/b.png", "deep/clip.mp4", "same.png", "same.bmp", "notes.md", "deep/data.csv"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture((8, 8))))
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("source", "names", "stems"),
    [
        pytest.param("b.png", ["b.png"], ["b"], id="one image"),
        pytest.param("deep/clip.mp4", ["clip.mp4"], ["clip"], id="one video"),
        pytest.param("deep", ["b.png", "clip.mp4"], ["b", "clip"], id="folder"),
        pytest.param(
            ".",
            ["a.PNG", "b.png", "deep/b.png", "deep/clip.mp4", "same.bmp", "same.png"],
            ["a", "b", "deep/b", "deep/clip", "same.bmp", "same.png"],
            id="folder with all below, equal stems told apart",
        ),
        pytest.param("*.png", ["b.png", "same.png"], ["b", "same"], id="glob"),
        pytest.param("**/b.*", ["b.png", "deep/b.png"], ["b", "deep/b"], id="glob through folders"),
        pytest.param("notes.md", ["notes.md"], ["notes"], id="unknown suffix: opening it will tell"),
    ],
)
def test_files(folder, source, names, stems):
    media = find_media(str(folder / source))
    assert [each.name for each in media] == names
    assert [each.stem for each in media] == stems
    assert [each.is_video for each in media] == [name.endswith(("mp4", "md")) for name in names]


def test_a_list_keeps_its_order_and_counts_doubles_once(folder, tmp_path):
    listing = folder / "list.txt"
    listing.write_text(f"same.png\n\n{folder / 'deep' / 'b.png'}\nsame.png\n")
    assert [each.name for each in find_media(str(listing))] == ["same.png", "deep/b.png"]


@pytest.mark.parametrize(
    ("source", "name", "stem", "is_video"),
    [
        pytest.param("0", "0", "0", True, id="webcam"),
        pytest.param("rtsp://host:554/street", "street", "street", True, id="camera"),
        pytest.param("rtsp://host", "rtsp://host", "stream", True, id="camera without a path"),
        pytest.param("https://host/a/bus.jpg?size=1", "bus.jpg", "bus", False, id="image on a server"),
        pytest.param("https://host/film.mp4", "film.mp4", "film", True, id="video on a server"),
    ],
)
def test_addresses(source, name, stem, is_video):
    (media,) = find_media(source)
    assert (media.name, media.stem, media.is_video) == (name, stem, is_video)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("gone.jpg", "no such file or folder", id="missing file"),
        pytest.param("*.webp", "holds no image or video", id="glob without a match"),
        pytest.param("empty", "holds no image or video", id="empty folder"),
        pytest.param("list.txt", "lists .*gone.png, which does not exist", id="list with a gap"),
        pytest.param("blank.txt", "holds no image or video", id="empty list"),
    ],
)
def test_nothing_to_look_at(folder, source, message):
    (folder / "empty").mkdir()
    (folder / "list.txt").write_text("b.png\ngone.png\n")
    (folder / "blank.txt").write_text("\n")
    with pytest.raises(DataError, match=f"^source=.*{message}"):
        find_media(str(folder / source))


def test_a_broken_image_is_named(folder):
    (folder / "b.png").write_bytes(b"")
    (media,) = find_media(str(folder / "b.png"))
    with pytest.raises(DataError, match=r"b\.png: the file is empty"):
        read_image(media)


@pytest.fixture
def server(folder):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_image_is_fetched(server, folder):
    (media,) = find_media(f"{server}/b.png")
    np.testing.assert_array_equal(read_image(media), picture((8, 8)))


def test_what_a_server_does_not_have(server):
    (media,) = find_media(f"{server}/gone.png")
    with pytest.raises(ServiceError, match=r"cannot be fetched .*404"):
        read_image(media)


def test_a_server_that_is_not_there():
    (media,) = find_media("http://127.0.0.1:1/bus.jpg")
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:1/bus\.jpg: cannot be fetched"):
        read_image(media)
