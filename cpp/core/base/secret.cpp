#include "s3accel/secret.h"

#include <cstring>

namespace s3accel {

void secure_wipe(void* p, std::size_t n) noexcept {
  if (n == 0) return;
  std::memset(p, 0, n);
  // The barrier tells the compiler that somebody may read the memory, so the store above must stay.
  __asm__ __volatile__("" : : "r"(p) : "memory");
}

bool equal_constant_time(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  volatile unsigned char diff = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    diff = diff | static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return diff == 0;
}

}  // namespace s3accel
