#include "s3accel/timestamp.h"

#include <algorithm>

#include "base/ascii.h"

namespace s3accel {

namespace {

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back.
// Source: H. Hinnant, "chrono-compatible low-level date algorithms".
std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) noexcept {
  y -= m <= 2;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

void put2(char* p, unsigned v) noexcept {
  p[0] = static_cast<char>('0' + v / 10 % 10);
  p[1] = static_cast<char>('0' + v % 10);
}

int number(std::string_view digits) noexcept {
  int v = 0;
  for (char c : digits) {
    if (!digit(c)) return -1;
    v = v * 10 + (c - '0');
  }
  return v;
}

}  // namespace

Result<Timestamp> Timestamp::parse(std::string_view text) noexcept {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return Errc::bad_timestamp;
  if (!valid_date(text.substr(0, 8))) return Errc::bad_timestamp;
  const int h = number(text.substr(9, 2)), m = number(text.substr(11, 2)), s = number(text.substr(13, 2));
  if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60) return {Errc::bad_timestamp, 9};
  Timestamp t;
  std::copy(text.begin(), text.end(), t.text_.begin());
  return t;
}

Timestamp Timestamp::from_epoch(std::int64_t seconds) noexcept {
  std::int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  const std::int64_t z = days + 719468;
  const std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned d = doy - (153 * mp + 2) / 5 + 1;
  const unsigned m = mp < 10 ? mp + 3 : mp - 9;
  const auto y = static_cast<unsigned>(static_cast<std::int64_t>(yoe) + era * 400 + (m <= 2));
  const auto r = static_cast<unsigned>(rest);
  Timestamp t;
  char* p = t.text_.data();
  put2(p, y / 100);
  put2(p + 2, y % 100);
  put2(p + 4, m);
  put2(p + 6, d);
  p[8] = 'T';
  put2(p + 9, r / 3600);
  put2(p + 11, r / 60 % 60);
  put2(p + 13, r % 60);
  p[15] = 'Z';
  return t;
}

std::int64_t Timestamp::epoch() const noexcept {
  const auto part = [this](std::size_t at, std::size_t n) {
    return static_cast<std::int64_t>(number(text().substr(at, n)));
  };
  return days_from_civil(part(0, 4), static_cast<unsigned>(part(4, 2)), static_cast<unsigned>(part(6, 2))) *
             86400 +
         part(9, 2) * 3600 + part(11, 2) * 60 + part(13, 2);
}

bool valid_date(std::string_view date) noexcept {
  if (date.size() != 8) return false;
  const int y = number(date.substr(0, 4)), m = number(date.substr(4, 2)), d = number(date.substr(6, 2));
  if (y < 1 || m < 1 || m > 12 || d < 1) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return d <= kDays[m - 1] + (m == 2 && leap);
}

}  // namespace s3accel
