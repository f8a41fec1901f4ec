// A test harness in one small header. A test is a function that goes on after a failed check and reports all
// of them; what could not run is reported as skipped, by name.
#pragma once

#include <cstdint>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace minitest {

struct Test {
  const char* name;
  void (*run)();
};

struct State {
  std::vector<Test> tests;
  std::mt19937_64 random;
  int failures = 0;                  // failed checks of the running test
  std::vector<std::string> skipped;  // "name: why", each once
};

inline State& state() {
  static State instance;
  return instance;
}

struct Register {
  Register(const char* name, void (*run)()) { state().tests.push_back({name, run}); }
};

// Seeded once, from --seed or the clock; the runner prints the seed.
inline std::mt19937_64& random() {
  return state().random;
}

// A number in 0 .. n - 1.
inline std::size_t below(std::size_t n) {
  return static_cast<std::size_t>(random()() % n);
}

inline void fail(const char* file, int line, const std::string& what) {
  ++state().failures;
  if (state().failures <= 20) std::cout << file << ":" << line << ": " << what << "\n";
}

// Says that something could not be tested here, for example a kernel the CPU lacks.
inline void skip(const std::string& what) {
  for (const std::string& known : state().skipped) {
    if (known == what) return;
  }
  state().skipped.push_back(what);
}

template <class A, class B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream out;
  out << text << "\n  left:  " << a << "\n  right: " << b;
  fail(file, line, out.str());
}

}  // namespace minitest

#define TEST(name)                                                     \
  static void test_##name();                                           \
  static const minitest::Register register_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) minitest::fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_EQ(a, b) minitest::check_equal((a), (b), #a " == " #b, __FILE__, __LINE__)

// A check with a message put together by <<, evaluated only if it fails.
#define CHECK_SAY(condition, message)                 \
  do {                                                \
    if (!(condition)) {                               \
      std::ostringstream out_;                        \
      out_ << #condition << ": " << message;          \
      minitest::fail(__FILE__, __LINE__, out_.str()); \
    }                                                 \
  } while (false)
