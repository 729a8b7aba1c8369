"""Hold BLAS and XLA to one thread each: they read this once, so import it before NumPy.

Thread pools on a few cores would measure each other.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
# What XLA hands over to others is on one thread, too: its flags alone leave it as many as there are
# cores, for products that do not wait for each other.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["PJRT_NPROC"] = "1"
