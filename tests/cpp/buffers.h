// What tests of byte-crunching code need: random bytes, hexadecimal text, and memory whose neighbours fault.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "minitest.h"
#include "s3accel/bytes.h"

namespace minitest {

inline std::vector<std::uint8_t> random_bytes(std::size_t n) {
  std::vector<std::uint8_t> out(n);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(random()());
  return out;
}

inline std::string hex(s3accel::Bytes bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

inline std::vector<std::uint8_t> unhex(const std::string& text) {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

// Random bytes between two pages that cannot be read: reading one byte too far, which sanitizers do not see
// in assembly, ends the test program.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    size_ = (size + page - 1) / page * page;
    total_ = size_ + 2 * page;
    base_ = static_cast<std::uint8_t*>(
        mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + page + size_, page, PROT_NONE);
    begin_ = base_ + page;
    for (std::size_t i = 0; i < size_; ++i) begin_[i] = static_cast<std::uint8_t>(random()());
  }
  ~GuardedBytes() { munmap(base_, total_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  s3accel::Bytes first(std::size_t n) const { return {begin_, n}; }             // a fault lies before it
  s3accel::Bytes last(std::size_t n) const { return {begin_ + size_ - n, n}; }  // a fault lies after it
  std::size_t size() const { return size_; }

 private:
  std::uint8_t *base_, *begin_;
  std::size_t size_, total_;
};

}  // namespace minitest
