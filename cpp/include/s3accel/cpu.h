// What the CPU has, the kernels, and which of them are in use.
#pragma once

#include <vector>

namespace s3accel {

struct KernelInfo {
  const char* name;   // "shani", "hybrid", "vpclmul", ...: also what S3ACCEL_KERNEL accepts
  const char* what;   // "sha256" (one message), "sha256-many" (several at once), "crc"
  unsigned lanes;     // messages it hashes side by side; 1 for a checksum
  const char* needs;  // instruction sets for people to read, for example "sha, sse4.1"; "" if none
  bool available;     // this CPU (and its operating system) can run it
  bool active;        // it is used for at least one job of its kind
  double rate;        // GB/s (1e9 bytes) measured once at first use; 0 if it was not measured
};

// Every kernel compiled into this library, in order of preference. Measures on the first call (0.1 to 0.3 ms
// on a current CPU) unless S3ACCEL_KERNEL fixes the choice. Thread-safe.
std::vector<KernelInfo> kernels();

// nullptr if S3ACCEL_KERNEL is unset, empty or could be followed; otherwise a full sentence that names the
// variable, its value and what would be accepted. In that case the portable kernels are in use.
const char* kernel_selection_error() noexcept;

}  // namespace s3accel
