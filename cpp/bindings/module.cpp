// The module only calls one register function a noun.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "s3accel/cpu.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of s3accel. Private: use the modules of the package.";
  // A kernel that was asked for by name and cannot run must not be replaced in silence.
  if (const char* error = s3accel::kernel_selection_error()) throw pybind11::import_error(error);
  m.attr("__version__") = S3ACCEL_VERSION;
  s3accel::bindings::bind_hash(m);
  s3accel::bindings::bind_sigv4(m);
  s3accel::bindings::bind_signer(m);
  s3accel::bindings::bind_chunked(m);
  s3accel::bindings::bind_verifier(m);
  s3accel::bindings::bind_verify(m);
  s3accel::bindings::bind_botocore(m);
}
