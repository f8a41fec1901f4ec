// The time of a signature.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "s3accel/error.h"

namespace s3accel {

// YYYYMMDD'T'HHMMSS'Z' in UTC. Both directions are total over 0001..9999.
class Timestamp {
 public:
  static Result<Timestamp> parse(std::string_view text) noexcept;
  static Timestamp from_epoch(std::int64_t seconds) noexcept;

  std::string_view text() const noexcept { return {text_.data(), 16}; }
  std::string_view date() const noexcept { return {text_.data(), 8}; }
  std::int64_t epoch() const noexcept;

 private:
  std::array<char, 16> text_{};
};

// True for 8 digits that name a day of the calendar.
bool valid_date(std::string_view date) noexcept;

}  // namespace s3accel
