#include "s3accel/secret.h"

#include <cstdint>
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
  std::uint64_t diff = 0;
  std::size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    std::uint64_t x, y;
    std::memcpy(&x, a.data() + i, 8);
    std::memcpy(&y, b.data() + i, 8);
    diff |= x ^ y;
    // After this the compiler knows nothing of the value, so it cannot leave the loop early.
    __asm__ __volatile__("" : "+r"(diff));
  }
  for (; i < a.size(); ++i) {
    diff |= static_cast<unsigned char>(a[i] ^ b[i]);
    __asm__ __volatile__("" : "+r"(diff));
  }
  return diff == 0;
}

}  // namespace s3accel
