"""The supported data sets: their published files, classes and mirrors.

MNIST: LeCun, Cortes & Burges 1998, http://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0).
Fashion-MNIST: Xiao, Rasul & Vollgraf 2017, https://arxiv.org/abs/1708.07747 (MIT, Zalando SE).
"""

from typing import NamedTuple


class File(NamedTuple):
    """One published IDX file."""

    name: str  # without .gz
    shape: tuple[int, ...]
    gz_bytes: int
    gz_sha256: str
    idx_sha256: str  # of the unpacked content

    @property
    def gz_name(self) -> str:
        """The name of the published file."""
        return f"{self.name}.gz"

    @property
    def names(self) -> tuple[str, ...]:
        """Possible names on disk: raw, which is faster to read, or .gz; with "-idx" or ".idx"."""
        dotted = self.name.replace("-idx", ".idx")
        return self.name, dotted, self.gz_name, f"{dotted}.gz"


class Published(NamedTuple):
    """A data set of four IDX files."""

    name: str
    files: tuple[File, File, File, File]  # train images, train labels, test images, test labels
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]  # URL prefixes of a file's gz_name

    @property
    def folders(self) -> tuple[str, str]:
        """Possible names of the data set's folder: TFDS's and Debian's."""
        return self.name, self.name.replace("_", "-")

    @property
    def torch_folder(self) -> str:
        """The name of torchvision's folder, which has the files in its subfolder "raw"."""
        return {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[self.name]

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of each file's unpacked content, by its name."""
        return {file.name: file.idx_sha256 for file in self.files}


MNIST = Published(
    name="mnist",
    files=(
        File(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        File(
            "train-labels-idx1-ubyte",
            (60_000,),
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        File(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        File(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    classes=tuple("0123456789"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = Published(
    name="fashion_mnist",
    files=(
        File(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        File(
            "train-labels-idx1-ubyte",
            (60_000,),
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        File(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        File(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
)

CATALOGUE = {published.name: published for published in (MNIST, FASHION_MNIST)}
