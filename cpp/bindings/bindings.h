// One function a noun; module.cpp calls them and does nothing else.
#pragma once

#include <pybind11/pybind11.h>

#include "s3accel/canonical.h"
#include "s3accel/error.h"

namespace s3accel::bindings {

void bind_hash(pybind11::module_& m);
void bind_sigv4(pybind11::module_& m);
void bind_signer(pybind11::module_& m);
void bind_chunked(pybind11::module_& m);
void bind_decoder(pybind11::module_& m);
void bind_verifier(pybind11::module_& m);
void bind_verify(pybind11::module_& m);
void bind_botocore(pybind11::module_& m);

// The one translation from Errc to a Python exception. `input` is the text the error's offset counts in, if
// there is one that may be shown; `headers` are those of a request whose error's offset is a header's index,
// and `payload_hash` is what was given beside them. Sets s3accel.errors.SigningError (or ConfigError for bad
// sizes) and returns nullptr.
PyObject* set_signing_error(Error error, std::span<const HeaderView> headers = {},
                            std::string_view payload_hash = {});
[[noreturn]] void throw_signing_error(Error error, std::span<const HeaderView> headers = {},
                                      std::string_view payload_hash = {});

}  // namespace s3accel::bindings
