"""Makes what older versions of Keras have written into tests/models/keras.

With tensorflow-cpu==2.12.1 (Python 3.10): the first files that hold weights by place. With tensorflow-cpu==2.4.4 and
protobuf<3.21 (Python 3.8): HDF5 under the name of `.keras`. The networks are those of keras_zoo.py.
"""

import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
own = sys.modules.get("keras")
# What keras_zoo.py imports.
sys.modules["keras"] = sys.modules["tf_keras"] = keras
import keras_zoo as zoo


def main():
    first = tf.__version__.startswith("2.12")
    build, stem = (zoo.nested, "nested2_12") if first else (zoo.column, "column2_4")
    zoo.keras = None
    model = zoo.randomize(build(keras, keras.layers))
    x = zoo.samples(build.__name__)
    y = {f"y{i}": v for i, v in enumerate(zoo.predict(build.__name__, model, x))}
    np.savez_compressed(zoo.OUT / f"{stem}.npz", x=x if x.ndim == 3 else x[:, :, None], **y)
    path = str(zoo.OUT / f"{stem}.keras")
    if first:
        sys.modules["keras"] = own
        from keras.saving import saving_lib

        saving_lib.save_model(model, path)
        zoo.pack(path)
    else:
        model.save(path, save_format="h5")


if __name__ == "__main__":
    main()
