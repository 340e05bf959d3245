"""Reports: complete in themselves, safe with any file name, and made from whatever there is."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from im2im_core.baseline import otsu_watershed
from im2im_core.builtin.class_metrics import dice
from im2im_core.builtin.instance_metrics import average_precision
from im2im_core.builtin.metrics import mae, psnr, ssim
from im2im_core.demo_images import make_nuclei
from im2im_core.drawing import png
from im2im_core.errors import DataError, OutputError
from im2im_core.evaluation import Evaluation, Pair, evaluate, evaluate_baseline
from im2im_core.files import write_bytes
from im2im_core.image import Image
from im2im_core.report import write_report
from im2im_core.report_run import read_curves, read_run
from im2im_core.report_words import describe, write_duration, write_figure

NUCLEI = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei2d" / "holdout"
HEADER = "epoch,step,train_loss,val_loss,val_ap@0.50,val_mean_ap\n"


def average(prediction, target):
    return average_precision(prediction, target, (0.5, 0.7, 0.9))


AP = {"average-precision": average}


def load(path):
    pixels = tifffile.imread(path)
    return Image(pixels, "CZYX"[-pixels.ndim :])


class Page(HTMLParser):
    """What an HTML file refers to, and its text."""

    def __init__(self, path):
        super().__init__()
        self.sources, self.tags, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]

    def handle_data(self, data):
        self.text += data

    def pictures(self):
        return [PillowImage.open(BytesIO(base64.b64decode(source.split(",")[1]))) for source in self.sources]


def write_pairs(folder, stems, size=96):
    """Generated nuclei; "predictions" that get worse from one to the next."""
    pairs = []
    folder.mkdir(exist_ok=True)
    for index, stem in enumerate(stems):
        image, target = make_nuclei(np.random.default_rng(index), (size, size))
        prediction = np.where(target > 2 * index, target, 0)
        paths = [folder / f"{index}{stem}_{role}.tiff" for role in ("pred", "GT", "IM")]
        for path, pixels in zip(paths, (prediction.astype(np.uint16), target, image), strict=True):
            tifffile.imwrite(path, pixels)
        pairs.append(Pair(stem, *paths))
    return pairs


def write_run(folder, table):
    (folder / "bundle").mkdir(parents=True)
    (folder / "metrics.csv").write_text(table)
    (folder / "config.yaml").write_text("model: {name: embedseg, n_sigma: 2}\n")
    environment = {"command": ["/usr/bin/im2im", "train", "--data", "my nuclei"], "packages": {"torch": "2.13.0"}}
    (folder / "environment.json").write_text(json.dumps(environment))
    training = {"training": {"epochs": 2, "subjects": 40, "seconds": 872.4}}
    (folder / "bundle" / "bundle.json").write_text(json.dumps(training))
    return folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A report of everything: run, evaluation, baseline."""
    folder = tmp_path_factory.mktemp("report")
    pairs = write_pairs(folder / "data", ["a", "b", "c", "d", "e"])
    table = HEADER + "0,0,2.0,,,\n0,1,1.6,,,\n0,1,,1.9,0.2,0.1\n1,2,1.0,,,\n1,3,,1.2,0.6,0.4\n"
    run = write_run(folder / "run", table)
    evaluation = evaluate(pairs, AP, load, method="embedseg")
    baseline = evaluate_baseline(pairs, AP, load, otsu_watershed, method="Otsu")
    page = write_report(
        folder / "out", title="Nuclei", evaluation=evaluation, baseline=baseline, run_dir=run, load=load, n_cases=2
    )
    return page, evaluation, baseline


def test_the_page_asks_for_nothing_else(complete):
    page = Page(complete[0])
    assert page.sources and all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    html = complete[0].read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", html)


def test_the_page_has_plots_and_cases_that_are_not_blank(complete):
    pictures = Page(complete[0]).pictures()
    assert len(pictures) == 2 + 2 + 4 * 4  # training, result, four panels for the two best and the two worst
    for picture in pictures:
        assert min(picture.size) >= 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_the_page_states_figures_baseline_and_on_how_much_they_rest(complete):
    page, evaluation, baseline = complete
    text = re.sub(r"\s+", " ", Page(page).text)
    assert f"averaged over 5 images with {evaluation.objects} objects" in text
    assert "TP / (TP + FP + FN)" in text
    for figures in (evaluation, baseline):
        assert f"{figures.mean['ap@0.50']:.3f}" in text
    for said in ("14 min 32 s", "im2im train --data 'my nuclei'", "n_sigma: 2", "torch", "2.13.0", "Otsu", "embedseg"):
        assert said in text


def test_best_and_worst_cases_are_shown_once_each(complete):
    groups = re.split(r"<h3>(?=Worst|Best)", complete[0].read_text(encoding="utf-8"))[1:]
    stems = [re.findall(r'class="stem">(\w)<', group) for group in groups]
    ranked = [case.stem for case in complete[1].ranked()]
    assert stems == [ranked[:-3:-1], ranked[:2]]


def test_markdown_links_lead_to_pictures(complete):
    folder = complete[0].parent
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (folder / "report.md").read_text(encoding="utf-8"))
    assert len(links) == 20
    assert all((folder / link).is_file() for link in links)
    assert {(folder / link).resolve() for link in links} == set((folder / "report_files").resolve().iterdir())
    assert "averaged over 5 images" in (folder / "report.md").read_text(encoding="utf-8")


def test_file_names_cannot_become_html_or_markdown(tmp_path):
    stem = "<script>alert(1)<!script> & |x| *y* [z](w)"
    pairs = write_pairs(tmp_path / "data", [stem])
    evaluation = evaluate([*pairs, pairs[0]._replace(prediction=tmp_path / "<img src=x>")], AP, load)
    page = write_report(tmp_path, title="<b>T</b>", evaluation=evaluation, load=load)
    html, markdown = page.read_text(encoding="utf-8"), (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "script" not in Page(page).tags and "b" not in Page(page).tags
    assert "&lt;script&gt;alert(1)" in html
    assert all(source.startswith("data:") for source in Page(page).sources)
    assert "<script" not in markdown and "<img" not in markdown and "<b>" not in markdown
    assert r"\|x\| \*y\* \[z\](w)" in markdown


@pytest.mark.parametrize(
    "table",
    [
        "",
        HEADER,
        HEADER + "0,0,2.0,,,\n",
        HEADER + "0,0,nan,,,\n0,1,,inf,nan,\n1,2,1.0,1.0,0.5,0.4\n",
        HEADER + "0,0,nan,nan,nan,nan\n",
        "epoch,step,train_loss\n0,0,1.5\n0,cut of",
        "\x00\x01 no table",
    ],
    ids=["no text", "no rows", "one row", "some are no numbers", "none is a number", "cut off", "rubbish"],
)
def test_any_training_table_gives_a_report(tmp_path, table):
    run = write_run(tmp_path / "run", table)
    page = Page(write_report(run, title="Run", run_dir=run, load=load))
    assert "Training" in page.text and "n_sigma: 2" in page.text
    assert "nan" not in page.text.lower()


def test_previews_of_the_run_are_shown(tmp_path):
    run = write_run(tmp_path / "run", "epoch,step,train_loss\n0,1,1.0\n1,2,0.5\n")
    for epoch in (5, 10, 15, 20, 100):
        write_bytes(run / "previews" / f"epoch-{epoch:04d}.png", png(np.full((4, 4, 3), epoch, np.uint8)))
    (run / "previews" / "epoch-0200.png").write_text("damaged")
    page = write_report(tmp_path / "report", title="Run", run_dir=run, load=load)
    text = page.read_text()
    assert "Epoch 5:" in text and "Epoch 20:" in text and "Epoch 10:" not in text and "Epoch 200:" not in text
    assert (tmp_path / "report" / "report_files" / "epoch-0005.png").is_file()


def test_an_empty_or_damaged_run_gives_a_report(tmp_path):
    (tmp_path / "environment.json").write_text("{")
    page = Page(write_report(tmp_path, title="Run", run_dir=tmp_path, load=load))
    assert "No losses were logged" in page.text
    assert not page.sources


def test_an_evaluation_without_cases_says_what_went_wrong(tmp_path):
    evaluation = Evaluation(errors={"a.tiff": "cannot be read"}, unmatched_targets=(Path("b_GT.tiff"),))
    text = Page(write_report(tmp_path, title="T", evaluation=evaluation, baseline=evaluation, load=load)).text
    for said in ("No image could be judged", "a.tiff: cannot be read", "no prediction for the target b_GT.tiff"):
        assert said in text


def test_nothing_to_report_on_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing to report"):
        write_report(tmp_path, title="T", load=load)


def test_a_picture_that_cannot_be_made_does_not_cost_the_report(tmp_path):
    pairs = write_pairs(tmp_path / "data", ["a", "b"])
    evaluation = evaluate(pairs, AP, load)
    pairs[0].image.write_bytes(b"gone bad")
    page = Page(write_report(tmp_path, title="T", evaluation=evaluation, load=load))
    assert "no pictures:" in page.text
    assert len(page.sources) == 2 + 4


def test_without_the_image_outlines_are_still_shown(tmp_path):
    pairs = [pair._replace(image=None) for pair in write_pairs(tmp_path / "data", ["a"])]
    page = Page(write_report(tmp_path, title="T", evaluation=evaluate(pairs, AP, load), load=load))
    assert len(page.sources) == 3 + 1
    assert all(len(np.unique(np.asarray(picture.convert("L")))) > 1 for picture in page.pictures())


def test_images_are_compared_with_a_map_of_the_difference(tmp_path):
    pairs = []
    for index in range(2):
        target, _ = make_nuclei(np.random.default_rng(index), (64, 64))
        paths = [tmp_path / f"{index}_{role}.tiff" for role in ("pred", "GT", "IM")]
        for path, pixels in zip(paths, (target * 0.9, target, target), strict=True):
            tifffile.imwrite(path, pixels.astype(np.float32))
        pairs.append(Pair(str(index), *paths))
    evaluation = evaluate(pairs, {"psnr": psnr, "ssim": ssim, "mae": mae}, load)
    page = Page(write_report(tmp_path / "out", title="T", evaluation=evaluation, load=load))
    assert page.text.count("Prediction \N{MINUS SIGN} target") == 2
    assert "PSNR" in page.text and "TP" not in page.text
    difference = np.asarray(page.pictures()[-1].convert("RGB")).astype(int)
    assert (difference[..., 2] > difference[..., 0]).mean() > 0.9  # darker than the target: blue nearly everywhere


@pytest.mark.parametrize("shape", [(5, 64, 64), (1500, 900)])
def test_volumes_and_large_images_are_shown(tmp_path, shape):
    target = np.zeros(shape, dtype=np.uint16)
    target[..., 10:40, 20:50] = 1
    target[..., 50:60, 5:25] = 2
    if len(shape) == 3:
        target[:3] = 0
    paths = [tmp_path / f"x_{role}.tiff" for role in ("pred", "GT", "IM")]
    for path, pixels in zip(paths, (target, target, target * 50), strict=True):
        tifffile.imwrite(path, pixels)
    evaluation = evaluate([Pair("x", *paths)], AP, load)
    page = Page(write_report(tmp_path, title="T", evaluation=evaluation, load=load))
    assert "2 found" in page.text
    assert "AP at IoU 0.50" in page.text and "AP at IoU 0.90" in page.text
    assert ("plane 4 of 5" in page.text) == (len(shape) == 3)
    assert all(max(picture.size) <= 1100 for picture in page.pictures()[1:])


def test_class_maps_are_compared(tmp_path):
    target = np.zeros((40, 40), dtype=np.uint8)
    target[5:20, 5:20], target[25:35, 10:30] = 1, 2
    prediction = target.copy()
    prediction[5:10] = 0
    paths = [tmp_path / f"x_{role}.tiff" for role in ("pred", "GT", "IM")]
    for path, pixels in zip(paths, (prediction, target, target * 90), strict=True):
        tifffile.imwrite(path, pixels)
    evaluation = evaluate([Pair("x", *paths)], {"dice": dice}, load)
    page = Page(write_report(tmp_path, title="T", evaluation=evaluation, load=load))
    assert "missed 4.7%" in page.text
    assert "extra" not in page.text


def test_a_report_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    pairs = write_pairs(tmp_path / "data", ["a", "b", "c", "d"], size=64)
    out = tmp_path / "out"
    for number in (4, 1):
        write_report(out, title=str(number), evaluation=evaluate(pairs[:number], AP, load), load=load, n_cases=1)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.md", "report_files"]
    assert "worst-1-1.png" not in {path.name for path in (out / "report_files").iterdir()}


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_report(tmp_path / "file", title="T", evaluation=Evaluation(), load=load)


def test_curves_are_means_over_epochs_counted_from_one(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train_loss_step,train_loss_epoch,val_loss\n0,0,4,,\n0,1,2,,\n0,1,,3,5\n1,2,nan,,\n1,3,,nan,4\n"
    )
    curves = read_curves(tmp_path / "metrics.csv")
    assert set(curves) == {"train_loss_epoch", "val_loss"}
    assert (curves["val_loss"].x, curves["val_loss"].y) == ((1, 2), (5, 4))
    assert curves["val_loss"].best(higher=False) == (2, 4)
    assert curves["train_loss_epoch"].y[0] == 3 and np.isnan(curves["train_loss_epoch"].y[1])


def test_a_single_epoch_is_drawn_over_its_steps(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "metrics.csv").write_text("epoch,step,train_loss\n0,0,4\n0,10,3\n0,20,2\n")
    curve = read_run(tmp_path).curves["train_loss"]
    assert (curve.x, curve.y, curve.per_step) == ((0, 10, 20), (4, 3, 2), True)


def test_how_figures_are_called_and_written():
    assert describe("val_ap@0.75") == "AP at IoU 0.75"
    assert describe("dice_class_2") == "Dice, class 2"
    assert describe("my_figure") == "my figure"
    assert [write_figure(v) for v in (0.12345, 31.456, 12345.6, None, float("nan"))] == [
        "0.123", "31.46", "12,346", "\N{EN DASH}", "\N{EN DASH}",
    ]  # fmt: skip
    assert write_figure(-0.05, signed=True) == "\N{MINUS SIGN}0.050"
    assert [write_duration(s) for s in (5.4, 872.3, 7260)] == ["5 s", "14 min 32 s", "2 h 1 min"]


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="the shared images are not part of the repository")
def test_report_on_real_nuclei(tmp_path):
    pairs = []
    for path in sorted(NUCLEI.glob("*_IM.tiff"))[:3]:
        prediction = tmp_path / path.name
        tifffile.imwrite(prediction, otsu_watershed(tifffile.imread(path)).astype(np.uint16))
        pairs.append(Pair(path.name[:-8], prediction, path.with_name(path.name.replace("_IM", "_GT")), path))
    evaluation = evaluate(pairs, AP, load)
    page = write_report(tmp_path / "out", title="Nuclei", evaluation=evaluation, load=load, n_cases=1)
    assert len(Page(page).sources) == 2 + 2 * 4
    assert page.stat().st_size < 5_000_000
