// Counts what a target allocates, so that it can be held to a limit. Included once per program.
#pragma once

#include <cstdlib>
#include <new>

namespace fuzz {
inline std::size_t allocated_bytes = 0;

// Bytes asked for while `f` runs, all blocks added up, freed or not.
template <class F>
std::size_t bytes_of(F&& f);
}  // namespace fuzz

// AddressSanitizer counts for us, and keeps its own operators, which see what is freed in the wrong way.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define S3ACCEL_FUZZ_HOOKS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define S3ACCEL_FUZZ_HOOKS 1
#endif

#if defined(S3ACCEL_FUZZ_HOOKS)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
namespace fuzz {
inline const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t n) { allocated_bytes += n; }, [](const volatile void*) {});
}  // namespace fuzz
#else
void* operator new(std::size_t n) {
  fuzz::allocated_bytes += n;
  void* p = std::malloc(n == 0 ? 1 : n);
  if (p == nullptr) std::abort();
  return p;
}
void* operator new[](std::size_t n) {
  return operator new(n);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}
#endif

namespace fuzz {

template <class F>
std::size_t bytes_of(F&& f) {
  // A counter that does not count would let everything pass.
  static const bool counts = [] {
    const std::size_t before = allocated_bytes;
    void* volatile p = ::operator new(100);
    ::operator delete(p);
    return allocated_bytes - before >= 100;
  }();
  if (!counts) std::abort();
  const std::size_t before = allocated_bytes;
  f();
  return allocated_bytes - before;
}

}  // namespace fuzz
