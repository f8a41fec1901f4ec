// A growing text with room inside the object, so that signing a usual request allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace s3accel {

class Text {
 public:
  // 2 KiB holds the canonical request of a PUT with a 1 KiB session token; longer ones go to the heap.
  static constexpr std::size_t kInline = 2048;

  Text() noexcept : data_(inline_) {}
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  void clear() noexcept { size_ = 0; }
  std::size_t size() const noexcept { return size_; }
  const char* data() const noexcept { return data_; }
  std::string_view view() const noexcept { return {data_, size_}; }
  std::string_view view(std::size_t from, std::size_t n) const noexcept { return {data_ + from, n}; }

  void append(std::string_view text) {
    if (text.empty()) return;
    copy(grow(text.size()), text.data(), text.size());
  }
  void push(char c) { *grow(1) = c; }

  // Makes room for n more characters, counts them as used, and returns where they start.
  char* grow(std::size_t n) {
    if (n > capacity_ - size_) enlarge(n);
    char* at = data_ + size_;
    size_ += n;
    return at;
  }
  void truncate(std::size_t n) noexcept { size_ = n; }

 private:
  // Most pieces of a canonical request are a few bytes: two moves that may overlap cost less than a call.
  static void copy(char* to, const char* from, std::size_t n) noexcept {
    if (n >= 8 && n <= 16) {
      move<std::uint64_t>(to, from, n);
    } else if (n >= 4 && n < 8) {
      move<std::uint32_t>(to, from, n);
    } else {
      std::memcpy(to, from, n);
    }
  }
  template <class Word>
  static void move(char* to, const char* from, std::size_t n) noexcept {
    Word first, last;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, from + n - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + n - sizeof last, &last, sizeof last);
  }

  void enlarge(std::size_t n) {
    std::size_t capacity = capacity_ * 2;
    while (capacity - size_ < n) capacity *= 2;
    std::unique_ptr<char[]> heap(new char[capacity]);
    std::memcpy(heap.get(), data_, size_);
    heap_ = std::move(heap);
    data_ = heap_.get();
    capacity_ = capacity;
  }

  char* data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = kInline;
  std::unique_ptr<char[]> heap_;
  char inline_[kInline];
};

}  // namespace s3accel
