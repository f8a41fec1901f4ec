// Memory that is wiped when it is let go, and comparison that takes the same time wherever texts differ.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace s3accel {

// Overwrites `n` bytes in a way the optimizer must keep.
void secure_wipe(void* p, std::size_t n) noexcept;

// True if both texts are equal. The time depends on the lengths only, never on the contents.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b) noexcept;

// N secret bytes on the stack or inside an object; wiped by the destructor. A cleanup label forgets, a
// destructor does not.
template <std::size_t N>
class SecretArray {
 public:
  SecretArray() = default;
  SecretArray(const SecretArray&) = default;
  SecretArray& operator=(const SecretArray&) = default;
  ~SecretArray() { secure_wipe(bytes_.data(), N); }

  std::uint8_t* data() noexcept { return bytes_.data(); }
  const std::uint8_t* data() const noexcept { return bytes_.data(); }
  static constexpr std::size_t size() noexcept { return N; }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

}  // namespace s3accel
