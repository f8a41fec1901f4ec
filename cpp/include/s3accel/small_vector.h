// The few operations of a vector that signing needs, with the first N elements inside the object.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <type_traits>

namespace s3accel {

template <class T, std::size_t N>
class SmallVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SmallVector() noexcept : data_(reinterpret_cast<T*>(inline_)) {}
  SmallVector(const SmallVector&) = delete;
  SmallVector& operator=(const SmallVector&) = delete;

  void push_back(const T& value) {
    if (size_ == capacity_) {
      std::unique_ptr<T[]> heap(new T[capacity_ * 2]);
      std::memcpy(static_cast<void*>(heap.get()), data_, size_ * sizeof(T));
      heap_ = std::move(heap);
      data_ = heap_.get();
      capacity_ *= 2;
    }
    std::memcpy(static_cast<void*>(data_ + size_), &value, sizeof(T));
    ++size_;
  }
  void pop_back() noexcept { --size_; }
  void clear() noexcept { size_ = 0; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  T* data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = N;
  std::unique_ptr<T[]> heap_;
  alignas(T) unsigned char inline_[N * sizeof(T)];
};

}  // namespace s3accel
