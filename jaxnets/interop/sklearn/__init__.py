"""Networks as scikit-learn estimators, for use with `GridSearchCV`, pipelines, ...

They compute in float32 on JAX's default device, whatever the dtype of the data. Each combination of
network and data shape compiles one program, which is reused for every `alpha` and learning rate.
"""

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError as error:
    raise ImportError(
        "jaxnets.interop.sklearn needs scikit-learn 1.6 or newer; pip install -U scikit-learn"
    ) from error

from jaxnets.interop.sklearn.classifier import JaxnetsClassifier
from jaxnets.interop.sklearn.regressor import JaxnetsRegressor

__all__ = ["JaxnetsClassifier", "JaxnetsRegressor"]
